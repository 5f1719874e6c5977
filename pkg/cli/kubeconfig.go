// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/utils/ptr"

	"clusterpass.dev/pkg/credential"
)

// kubeconfigOptions are those of kubeconfig.
type kubeconfigOptions struct {
	plugin
	request credential.RequestFlags
	source  credential.Options
	merge   bool
}

func newKubeconfigCommand(p plugin) *cobra.Command {
	o := &kubeconfigOptions{plugin: p}
	cmd := &cobra.Command{
		Use:   "kubeconfig CLUSTER...",
		Short: "Print contexts for member clusters, or merge them into your kubeconfig",
		Long: `Print a kubeconfig with a context for each member cluster, named for it, or merge the contexts into the kubeconfig
that kubectl uses: the file of --kubeconfig, those of $KUBECONFIG, or ~/.kube/config. Everything else in it
stays, the current context included. If a context of that name leads elsewhere, the command fails.

The contexts hold no secret. They run "kubectl-clusterpass get-token" when a token is needed, with the hub's
kubeconfig and context as they are now. The command requests one token for each cluster, to check that this
works and to learn the cluster's address.

Without --cluster-role and --role a context has the rights of ClusterRole view. Without --service-account it is for
a ServiceAccount in namespace default, whose name is made from your user name and the request.`,
		Example: `  # Add contexts bravelion and smartfish, with the rights of ClusterRole view
  kubectl clusterpass kubeconfig bravelion smartfish --merge
  kubectl --context=bravelion get namespaces

  # Use a context for one command, with another role
  kubectl --kubeconfig=<(kubectl clusterpass kubeconfig bravelion --cluster-role=edit) get pods`,
		Args:              names(cobra.MinimumNArgs(1)),
		ValidArgsFunction: p.completeClusters(0),
		RunE:              func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args) },
	}
	cmd.Flags().BoolVar(&o.merge, "merge", false, "Merge the contexts into the kubeconfig in use.")
	o.request.AddFlags(cmd.Flags())
	o.source.AddFlags(cmd.Flags())
	return cmd
}

func (o *kubeconfigOptions) run(ctx context.Context, clusters []string) error {
	hub, err := o.pinHub()
	if err != nil {
		return err
	}
	// Before anything is asked for: this would be found out last.
	if o.merge {
		if err := hub.mergeable(clusters, o.paths()); err != nil {
			return err
		}
		if err := unlocked(ctx, o.paths()); err != nil {
			return err
		}
	}
	entries, err := o.entries(ctx, hub, clusters)
	if err != nil {
		return err
	}
	if o.merge {
		return o.mergeInto(o.paths(), hub, entries)
	}
	entries.CurrentContext = clusters[0]
	encoded, err := clientcmd.Write(*entries)
	if err != nil {
		return err
	}
	_, err = o.streams.Out.Write(encoded)
	return err
}

// paths returns the kubeconfig in use, to be read and written as kubectl config does.
func (o *kubeconfigOptions) paths() *clientcmd.PathOptions {
	paths := clientcmd.NewDefaultPathOptions()
	paths.LoadingRules.ExplicitPath = ptr.Deref(o.flags.KubeConfig, "")
	return paths
}

// entries returns what makes up the contexts of the clusters.
func (o *kubeconfigOptions) entries(ctx context.Context, hub *pinnedHub, clusters []string) (*clientcmdapi.Config, error) {
	source, err := credential.NewSource(hub.config, o.source)
	if err != nil {
		return nil, err
	}
	keeping, err := o.source.Args()
	if err != nil {
		return nil, err
	}
	entries := clientcmdapi.NewConfig()
	for _, cluster := range clusters {
		r, err := newRequest(ctx, source, hub.namespace, cluster, &o.request)
		if err != nil {
			return nil, err
		}
		// A cached token may be for a cluster that has moved since, or been replaced.
		c, err := source.Renew(ctx, r)
		if err != nil {
			return nil, err
		}
		name := hub.entryName(cluster)
		entries.Clusters[name] = &clientcmdapi.Cluster{
			Server:                   c.Cluster.Server,
			CertificateAuthorityData: c.Cluster.CertificateAuthorityData,
			TLSServerName:            c.Cluster.TLSServerName,
			ProxyURL:                 c.Cluster.ProxyURL,
		}
		entries.AuthInfos[name] = &clientcmdapi.AuthInfo{Exec: hub.stanza(cluster, append(r.Args(), keeping...))}
		if size := execInfoSize(entries.Clusters[name]); size > maxExecInfo {
			entries.AuthInfos[name].Exec.ProvideClusterInfo = false
			fmt.Fprintf(o.streams.ErrOut, "Warning: the certificate authorities of cluster %s have %d KiB, too much to pass to a credential "+
				"plugin: the context has provideClusterInfo: false, so get-token can't check that a token goes to the server that the hub names\n",
				r.Cluster(), len(c.Cluster.CertificateAuthorityData)>>10)
		}
		entries.Contexts[cluster] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	}
	return entries, nil
}

// mergeInto puts the entries into the kubeconfig in use.
func (o *kubeconfigOptions) mergeInto(paths *clientcmd.PathOptions, hub *pinnedHub, entries *clientcmdapi.Config) error {
	config, err := paths.GetStartingConfig()
	if err != nil {
		return err
	}
	for cluster, context := range entries.Contexts {
		if err := hub.owns(config, cluster); err != nil {
			return err
		}
		if old := config.Clusters[context.Cluster]; old != nil {
			entries.Clusters[context.Cluster].LocationOfOrigin = old.LocationOfOrigin
		}
		if old := config.AuthInfos[context.AuthInfo]; old != nil {
			entries.AuthInfos[context.AuthInfo].LocationOfOrigin = old.LocationOfOrigin
		}
		if old := config.Contexts[cluster]; old != nil {
			// The user's own choice, which kubectl config set-context makes.
			context.LocationOfOrigin, context.Namespace, context.Extensions = old.LocationOfOrigin, old.Namespace, old.Extensions
		}
	}
	maps.Copy(config.Clusters, entries.Clusters)
	maps.Copy(config.AuthInfos, entries.AuthInfos)
	maps.Copy(config.Contexts, entries.Contexts)
	if err := clientcmd.ModifyConfig(paths, *config, false); err != nil {
		return lockedBy(err, time.Now())
	}
	for cluster := range entries.Contexts {
		fmt.Fprintf(o.streams.Out, "context %q is in your kubeconfig\n", cluster)
	}
	return nil
}

// pinnedHub is a hub as contexts name it, which have to find it from anywhere.
type pinnedHub struct {
	config    *rest.Config
	namespace string
	// command is the absolute path of this program.
	command string
	// kubeconfig is a list of absolute paths as in $KUBECONFIG, and context one of theirs.
	kubeconfig, context string
}

const (
	// maxExecInfo is how long KUBERNETES_EXEC_INFO may be: Linux takes 128 KiB for one variable
	// (MAX_ARG_STRLEN), its name included. The rest is for what else client-go puts there.
	maxExecInfo = 120 << 10
	// lockSuffix is that of the lock file that every program of client-go makes beside a kubeconfig
	// while it writes it.
	lockSuffix = ".lock"
	// lockTimeout is for how long to wait for a program that writes a kubeconfig now: it takes
	// milliseconds.
	lockTimeout = 2 * time.Second
	lockPoll    = 50 * time.Millisecond
)

// execInfoSize returns about how long what client-go passes to a credential plugin is.
func execInfoSize(cluster *clientcmdapi.Cluster) int {
	// JSON has bytes in base64.
	return (len(cluster.CertificateAuthorityData)+2)/3*4 + len(cluster.Server) + len(cluster.TLSServerName) + len(cluster.ProxyURL)
}

// unlocked returns nil when a kubeconfig can be written: all its files can be locked as
// clientcmd.ModifyConfig does.
func unlocked(ctx context.Context, paths *clientcmd.PathOptions) error {
	for _, file := range paths.GetLoadingPrecedence() {
		var failed error
		err := wait.PollUntilContextTimeout(ctx, lockPoll, lockTimeout, true, func(context.Context) (bool, error) {
			failed = probeLock(file)
			return !errors.Is(failed, fs.ErrExist), nil
		})
		if failed == nil {
			failed = err
		}
		if failed != nil {
			return lockedBy(failed, time.Now())
		}
	}
	return nil
}

// probeLock makes the lock file of a kubeconfig and removes it.
func probeLock(file string) error {
	if _, err := os.Stat(filepath.Dir(file)); errors.Is(err, fs.ErrNotExist) {
		return nil // the folder is made with the file
	}
	lock, err := os.OpenFile(file+lockSuffix, os.O_CREATE|os.O_EXCL, 0)
	if err != nil {
		return err
	}
	return errors.Join(lock.Close(), os.Remove(lock.Name()))
}

// lockedBy returns err, or what to do where it says that a lock file is there already.
func lockedBy(err error, now time.Time) error {
	var exists *fs.PathError
	if !errors.As(err, &exists) || !errors.Is(err, fs.ErrExist) || !strings.HasSuffix(exists.Path, lockSuffix) {
		return err
	}
	age := "an unknown time"
	if info, err := os.Stat(exists.Path); err == nil {
		age = duration.HumanDuration(now.Sub(info.ModTime()))
	}
	return fmt.Errorf("kubeconfig %s is locked by %s, which was made %s ago: another kubectl is writing it, or was stopped while writing. "+
		"If no kubectl is running, remove the lock: rm %s", strings.TrimSuffix(exists.Path, lockSuffix), exists.Path, age, exists.Path)
}
