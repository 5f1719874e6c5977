// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"clusterpass.dev/pkg/credential"
)

// kubeconfigOptions are those of kubeconfig.
type kubeconfigOptions struct {
	streams genericiooptions.IOStreams
	flags   *genericclioptions.ConfigFlags
	request credential.RequestFlags
	source  credential.Options
	merge   bool
	// executable returns the command that the contexts run.
	executable func() (string, error)
}

func newKubeconfigCommand(flags *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	o := &kubeconfigOptions{flags: flags, streams: streams, executable: executable}
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
		ValidArgsFunction: completeClusters(flags, 0),
		RunE:              func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args) },
	}
	cmd.Flags().BoolVar(&o.merge, "merge", false, "Merge the contexts into the kubeconfig in use.")
	o.request.AddFlags(cmd.Flags())
	o.source.AddFlags(cmd.Flags())
	return cmd
}

func (o *kubeconfigOptions) run(ctx context.Context, clusters []string) error {
	hub, err := o.hub()
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

// hub returns the hub that the contexts are to be tied to.
func (o *kubeconfigOptions) hub() (*pinnedHub, error) {
	loader := o.flags.ToRawKubeConfigLoader()
	config, namespace, err := hubClient(loader, o.flags, o.streams)
	if err != nil {
		return nil, err
	}
	raw, err := loader.RawConfig()
	if err != nil {
		return nil, err
	}
	hub, err := pinHub(raw, o.flags)
	if err != nil {
		return nil, err
	}
	if hub.command, err = o.executable(); err != nil {
		return nil, err
	}
	hub.config, hub.namespace = config, namespace
	return hub, nil
}

// paths returns the kubeconfig in use, to be read and written as kubectl config does.
func (o *kubeconfigOptions) paths() *clientcmd.PathOptions {
	paths := clientcmd.NewDefaultPathOptions()
	if o.flags.KubeConfig != nil {
		paths.LoadingRules.ExplicitPath = *o.flags.KubeConfig
	}
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
		put(config.Clusters, context.Cluster, entries.Clusters[context.Cluster], func(old, entry *clientcmdapi.Cluster) {
			entry.LocationOfOrigin = old.LocationOfOrigin
		})
		put(config.AuthInfos, context.AuthInfo, entries.AuthInfos[context.AuthInfo], func(old, entry *clientcmdapi.AuthInfo) {
			entry.LocationOfOrigin = old.LocationOfOrigin
		})
		put(config.Contexts, cluster, context, func(old, entry *clientcmdapi.Context) {
			// The user's own choice, which kubectl config set-context makes.
			entry.LocationOfOrigin, entry.Namespace, entry.Extensions = old.LocationOfOrigin, old.Namespace, old.Extensions
		})
	}
	if err := clientcmd.ModifyConfig(paths, *config, false); err != nil {
		return lockedBy(err, time.Now())
	}
	for cluster := range entries.Contexts {
		fmt.Fprintf(o.streams.Out, "context %q is in your kubeconfig\n", cluster)
	}
	return nil
}

// put puts entry into entries; keep takes over what is to stay of one that is there.
func put[T any](entries map[string]*T, name string, entry *T, keep func(old, entry *T)) {
	if old := entries[name]; old != nil {
		keep(old, entry)
	}
	entries[name] = entry
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
