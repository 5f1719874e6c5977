// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	inventory "sigs.k8s.io/cluster-inventory-api/client/clientset/versioned"

	"clusterpass.dev/pkg/member"
	"clusterpass.dev/test/testenv"
)

// memberKey is the key of the kubeconfig in a Secret that join makes.
const memberKey = "kubeconfig"

// allTerms are those that all examples need. The members let themselves be asked for anything:
// whoever has the fleet has their keys.
var allTerms = []string{"--allow-cluster-roles=cluster-admin,edit,view", "--allow-rules"}

// join joins the members as a user does. What one is joined with already, on terms of its own, is
// mended and not widened.
func (f *fleet) join(ctx context.Context, s settings, report *progress) error {
	kube, err := kubernetes.NewForConfig(f.hub.RESTConfig())
	if err != nil {
		return err
	}
	profiles, err := inventory.NewForConfig(f.hub.RESTConfig())
	if err != nil {
		return err
	}
	report.printf("joining %s", strings.Join(memberNames, " and "))
	group, ctx := errgroup.WithContext(ctx)
	for _, cluster := range f.members {
		group.Go(func() error {
			terms := allTerms
			joined, err := isJoined(ctx, kube, profiles, cluster.Name(), cluster.Server())
			if err != nil {
				return fmt.Errorf("looking whether %s is joined: %w", cluster.Name(), err)
			}
			if joined {
				terms = []string{"--credential-only"}
			}
			return joinMember(ctx, s, cluster.Name(), terms)
		})
	}
	return group.Wait()
}

// joinAgain joins all members on allTerms.
func joinAgain(ctx context.Context, s settings, out io.Writer) error {
	return locked(ctx, s, upTimeout, out, func(ctx context.Context, report *progress) error {
		report.printf("joining %s on the terms that all examples need", strings.Join(memberNames, " and "))
		group, ctx := errgroup.WithContext(ctx)
		for _, name := range memberNames {
			group.Go(func() error { return joinMember(ctx, s, name, allTerms) })
		}
		return group.Wait()
	})
}

func joinMember(ctx context.Context, s settings, name string, terms []string) error {
	args := append([]string{
		"join", name, "--kubeconfig=" + s.kubeconfig(hubName), "--namespace=" + profileNamespace,
		"--member-kubeconfig=" + s.kubeconfig(name), "--member-context=" + name,
	}, terms...)
	if output, err := exec.CommandContext(ctx, filepath.Join(s.root, "bin", "kubectl-clusterpass"), args...).CombinedOutput(); err != nil {
		return fmt.Errorf("joining %s: %w: %s", name, err, output)
	}
	return nil
}

// isJoined says whether the hub has a ClusterProfile for a member, and a kubeconfig that leads to
// its server.
func isJoined(ctx context.Context, hub kubernetes.Interface, profiles inventory.Interface, name, server string) (bool, error) {
	_, err := profiles.ApisV1alpha1().ClusterProfiles(profileNamespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	secrets, err := hub.CoreV1().Secrets(testenv.SystemNamespace).List(ctx, metav1.ListOptions{LabelSelector: member.KubeconfigLabel})
	if err != nil {
		return false, err
	}
	for i := range secrets.Items {
		secret := &secrets.Items[i]
		if !member.IsSecretOf(secret, profileNamespace, name) {
			continue
		}
		config, err := clientcmd.RESTConfigFromKubeConfig(secret.Data[memberKey])
		return err == nil && config.Host == server && member.LeavingOf(secret, profileNamespace, name) == nil, nil
	}
	return false, nil
}
