// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"text/template"

	"github.com/stretchr/testify/require"
)

// OCMEnv names the environment variable that, not empty, says that OCM has been built for the
// tests.
const OCMEnv = "CLUSTERPASS_OCM"

const (
	ocmName = "ocm"
	// ocmNamespace is where OCM's controllers live on a hub.
	ocmNamespace = "open-cluster-management-hub"
	// ocmGroup is the group of OCM's clusters, sets of clusters and Placements.
	ocmGroup = "cluster.open-cluster-management.io"
)

// ocmControllers are those that Program ocm has, each under the account that OCM deploys it with.
var ocmControllers = []string{"registration", "placement"}

// OCMConfig says how OCM is to be run.
type OCMConfig struct {
	// Hub is the cluster whose ManagedClusters it works on.
	Hub *Cluster
	// Dir keeps its kubeconfigs and its log. It is created, for its owner only.
	Dir string
	// ProfileCRD has its CRD of ClusterProfile installed, too. Otherwise somebody else serves that.
	ProfileCRD bool
}

// OCM is those controllers of Open Cluster Management's hub that keep ClusterProfiles and decide
// Placements, with the CRDs and the RBAC that they are deployed with.
type OCM struct {
	config OCMConfig
	single
}

// NewOCM prepares everything on disk that OCM needs, and starts nothing.
func NewOCM(config OCMConfig) (*OCM, error) {
	o := &OCM{config: config, single: single{name: ocmName, log: filepath.Join(config.Dir, ocmName+".log")}}
	if err := os.MkdirAll(config.Dir, 0o700); err != nil {
		return nil, err
	}
	for _, controller := range ocmControllers {
		user := "system:serviceaccount:" + ocmNamespace + ":" + controller + "-controller-sa"
		if err := config.Hub.pki.ca.loadOrIssue(config.Dir, controller, leaf{user: user}); err != nil {
			return nil, err
		}
		if err := config.Hub.writeKubeconfig(o.kubeconfig(controller), controller, filepath.Join(config.Dir, controller)); err != nil {
			return nil, fmt.Errorf("kubeconfig of OCM's %s controller: %w", controller, err)
		}
	}
	return o, nil
}

// Start installs OCM on the hub and runs it as a child of this process. It does not say when it has
// begun to work.
func (o *OCM) Start(ctx context.Context) error {
	if err := o.install(ctx); err != nil {
		return fmt.Errorf("installing OCM on %s: %w", o.config.Hub.Name(), err)
	}
	path, err := OCMPath()
	if err != nil {
		return err
	}
	program := Program{
		Name: ocmName, Path: path, Log: o.log, Args: []string{"-v=4"},
		Ready: func(context.Context) error { return nil },
	}
	for _, controller := range ocmControllers {
		program.Args = append(program.Args, "--"+controller+"-kubeconfig="+o.kubeconfig(controller))
	}
	return o.group.start(ctx, program)
}

// install applies the CRDs and the RBAC, and waits until the CRDs are served.
func (o *OCM) install(ctx context.Context) error {
	program, err := OCMPath()
	if err != nil {
		return err
	}
	if program, err = filepath.EvalSymlinks(program); err != nil {
		return err
	}
	from := filepath.Dir(program)
	groups := map[string]string{ocmGroup: "crds"}
	if o.config.ProfileCRD {
		groups["multicluster.x-k8s.io"] = "inventory"
	}
	for group, dir := range groups {
		if err := applyKustomizationAt(ctx, o.config.Hub, filepath.Join(from, dir)); err != nil {
			return err
		}
		if err := waitEstablished(ctx, o.config.Hub, group); err != nil {
			return err
		}
	}
	return o.applyRBAC(ctx, from)
}

// applyRBAC applies the templates of OCM's RBAC, as its operator fills them where the feature
// ClusterProfile is on and all that is optional is off.
func (o *OCM) applyRBAC(ctx context.Context, from string) error {
	paths, err := filepath.Glob(filepath.Join(from, "*.yaml.tmpl"))
	if err != nil || len(paths) == 0 {
		return errors.Join(fmt.Errorf("no RBAC of OCM in %s", from), err)
	}
	var rendered bytes.Buffer
	for _, path := range paths {
		parsed, err := template.ParseFiles(path)
		if err != nil {
			return err
		}
		rendered.WriteString("---\n")
		err = parsed.Execute(&rendered, map[string]any{
			"ClusterManagerName": "cluster-manager", "ClusterManagerNamespace": ocmNamespace, "ClusterProfileEnabled": true,
			"Labels": map[string]string{}, "ClusterImporterEnabled": false, "GRPCAuthEnabled": false,
		})
		if err != nil {
			return err
		}
	}
	_, err = Kubectl(ctx, o.config.Hub.Kubeconfig(), rendered.String(), "apply", "--server-side", "-f", "-")
	return err
}

func (o *OCM) kubeconfig(controller string) string {
	return filepath.Join(o.config.Dir, controller+".yaml")
}

// StartOCM runs OCM on the hub until the test ends. All fields of config may be empty.
func StartOCM(t testing.TB, hub *Cluster, config OCMConfig) *OCM {
	t.Helper()
	config.Hub = hub
	if config.Dir == "" {
		config.Dir = keptOnFailure(t, ocmName)
	}
	ocm := Must[*OCM](t)(NewOCM(config))
	start(t, ocm)
	return ocm
}

// RequireOCM skips the test where OCM was not built, and fails it where OCMEnv says that it should
// have been.
func RequireOCM(t testing.TB) {
	t.Helper()
	_, err := OCMPath()
	if err == nil {
		return
	}
	if os.Getenv(OCMEnv) != "" {
		require.NoError(t, err)
	}
	t.Skipf("this needs OCM: %v", err)
}
