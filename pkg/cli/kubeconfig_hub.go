// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"k8s.io/cli-runtime/pkg/genericclioptions"
	clientauthenticationv1 "k8s.io/client-go/pkg/apis/clientauthentication/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/utils/ptr"
)

// pinHub returns the hub that the contexts are to be tied to, with its own context and the files
// that it is made of. A context names them, since it would else look for the hub in the current
// context, which may be itself.
func (p plugin) pinHub() (*pinnedHub, error) {
	loader := p.flags.ToRawKubeConfigLoader()
	config, namespace, err := p.mintingHub(loader)
	if err != nil {
		return nil, err
	}
	raw, err := loader.RawConfig()
	if err != nil {
		return nil, err
	}
	if err := unpinnable(p.flags); err != nil {
		return nil, err
	}
	name := cmp.Or(ptr.Deref(p.flags.Context, ""), raw.CurrentContext)
	context := raw.Contexts[name]
	if context == nil {
		return nil, errors.New("contexts of members need a kubeconfig with a context of the hub")
	}
	files := []string{context.LocationOfOrigin}
	if cluster := raw.Clusters[context.Cluster]; cluster != nil {
		files = append(files, cluster.LocationOfOrigin)
	}
	if user := raw.AuthInfos[context.AuthInfo]; user != nil {
		files = append(files, user.LocationOfOrigin)
	}
	var pinned []string
	for _, file := range files {
		absolute, err := filepath.Abs(file)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(pinned, absolute) {
			pinned = append(pinned, absolute)
		}
	}
	command, err := executable()
	return &pinnedHub{
		config: config, namespace: namespace, command: command,
		kubeconfig: strings.Join(pinned, string(filepath.ListSeparator)), context: name,
	}, err
}

// unpinnable refuses flags that change the hub's context for this one run: a kubeconfig would have
// to repeat them, secrets and all.
func unpinnable(flags *genericclioptions.ConfigFlags) error {
	given := map[string]*string{
		"cluster": flags.ClusterName, "user": flags.AuthInfoName, "server": flags.APIServer, "token": flags.BearerToken,
		"as": flags.Impersonate, "as-uid": flags.ImpersonateUID, "client-certificate": flags.CertFile, "client-key": flags.KeyFile,
		"certificate-authority": flags.CAFile, "tls-server-name": flags.TLSServerName,
		"username": flags.Username, "password": flags.Password,
	}
	for name, value := range given {
		if ptr.Deref(value, "") != "" {
			return fmt.Errorf("contexts of members can't take --%s: put it into a context of the hub", name)
		}
	}
	return nil
}

// entryName returns the name of a cluster's entries other than its context.
func (h *pinnedHub) entryName(cluster string) string {
	return fmt.Sprintf("clusterpass:%s/%s@%s", h.namespace, cluster, h.context)
}

// pins returns the arguments that say which cluster of which hub a context is for.
func (h *pinnedHub) pins(cluster string) []string {
	return []string{
		getTokenName, cluster,
		"--namespace=" + h.namespace,
		"--" + flagHubKubeconfig + "=" + h.kubeconfig,
		"--" + flagHubContext + "=" + h.context,
	}
}

// stanza returns how a client gets a token of a cluster by the flags in args.
func (h *pinnedHub) stanza(cluster string, args []string) *clientcmdapi.ExecConfig {
	return &clientcmdapi.ExecConfig{
		APIVersion:      clientauthenticationv1.SchemeGroupVersion.String(),
		Command:         h.command,
		Args:            append(h.pins(cluster), args...),
		InteractiveMode: clientcmdapi.NeverExecInteractiveMode,
		// With it the token is not given to a server that the hub does not know.
		ProvideClusterInfo: true,
		InstallHint:        "This context needs " + program + ", the kubectl plugin of clusterpass.",
	}
}

// mergeable returns nil when all clusters can have a context of their name in a kubeconfig.
func (h *pinnedHub) mergeable(clusters []string, paths *clientcmd.PathOptions) error {
	config, err := paths.GetStartingConfig()
	if err != nil {
		return err
	}
	for _, cluster := range clusters {
		if err := h.owns(config, cluster); err != nil {
			return err
		}
	}
	return nil
}

// owns returns nil when config has nothing under the names of a cluster's entries but what was
// written for that cluster of that hub.
func (h *pinnedHub) owns(config *clientcmdapi.Config, cluster string) error {
	if context := config.Contexts[cluster]; context != nil && !h.wrote(config.AuthInfos[context.AuthInfo], cluster) {
		return fmt.Errorf("your kubeconfig has another context %q: rename it with kubectl config rename-context, or leave out --merge", cluster)
	}
	name := h.entryName(cluster)
	if user := config.AuthInfos[name]; user != nil && !h.wrote(user, cluster) {
		return fmt.Errorf("your kubeconfig has another user %q: remove it with kubectl config delete-user, or leave out --merge", name)
	}
	return nil
}

// wrote returns whether a user is one that was written for that cluster of that hub.
func (h *pinnedHub) wrote(user *clientcmdapi.AuthInfo, cluster string) bool {
	if user == nil || user.Exec == nil {
		return false
	}
	pins := h.pins(cluster)
	return len(user.Exec.Args) >= len(pins) && slices.Equal(user.Exec.Args[:len(pins)], pins)
}

// executable returns the absolute path of this program: where $PATH has it, if that is us. Tools
// that install plugins keep a link there across upgrades, and the file that it leads to is another
// with each.
func executable() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	if found, err := exec.LookPath(program); err == nil && filepath.IsAbs(found) && sameFile(self, found) {
		return found, nil
	}
	return self, nil
}

func sameFile(a, b string) bool {
	left, err := os.Stat(a)
	if err != nil {
		return false
	}
	right, err := os.Stat(b)
	return err == nil && os.SameFile(left, right)
}
