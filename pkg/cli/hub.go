// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strings"

	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/utils/ptr"
)

// nameTheHub says how a user names the hub.
const nameTheHub = "Name the kubeconfig of the hub with --kubeconfig or $KUBECONFIG, and its context, if that is not the current one, with --context"

// hubConfig returns the client configuration for the hub that the flags lead to.
func hubConfig(flags *genericclioptions.ConfigFlags) (*rest.Config, error) {
	loader := flags.ToRawKubeConfigLoader()
	config, err := flags.ToRESTConfig()
	return config, checkHub(config, err, loader, flags)
}

// checkHub returns an error where config, which loader has made of a kubeconfig and flags, is for no hub: client-go takes
// localhost:8080 for one that nothing names. err is the error of loader.
func checkHub(config *rest.Config, err error, loader clientcmd.ClientConfig, flags *genericclioptions.ConfigFlags) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("no kubeconfig: %w. %s", err, nameTheHub)
	case err != nil && !clientcmd.IsEmptyConfig(err):
		return err
	case err == nil && isGetToken(config.ExecProvider):
		return errNotHub
	case err == nil && (config.Host != clientcmd.ClusterDefaults.Server || os.Getenv("KUBERNETES_MASTER") != ""):
		return nil
	}
	raw, _ := loader.RawConfig() // what can't be read has been told
	if err == nil && (ptr.Deref(flags.APIServer, "") == config.Host || hasServer(&raw, config.Host)) {
		return nil
	}
	files := strings.Join(loader.ConfigAccess().GetLoadingPrecedence(), ", ")
	if explicit := loader.ConfigAccess().GetExplicitFile(); explicit != "" {
		files = explicit
	}
	if len(raw.Contexts) > 0 {
		return fmt.Errorf("no hub: the kubeconfig (%s) has no current context. %s", files, nameTheHub)
	}
	return fmt.Errorf("no hub: there is no kubeconfig, or there is nothing in it (%s). %s", files, nameTheHub)
}

// hasServer returns whether a kubeconfig has a cluster of that address.
func hasServer(config *clientcmdapi.Config, server string) bool {
	for _, cluster := range config.Clusters {
		if cluster.Server == server {
			return true
		}
	}
	return false
}

// isUnreachable returns whether err is that of a hub which does not answer at all.
func isUnreachable(err error, flags *genericclioptions.ConfigFlags) bool {
	asked, ok := errors.AsType[*url.Error](err)
	if !ok || errors.Is(err, context.Canceled) {
		return false
	}
	config, err := flags.ToRESTConfig()
	return err == nil && strings.HasPrefix(asked.URL, strings.TrimRight(config.Host, "/")+"/")
}
