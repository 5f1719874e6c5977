// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"clusterpass.dev/pkg/hub"
	"clusterpass.dev/pkg/join"
	"clusterpass.dev/pkg/migrate"
)

const (
	migrateLong = `Move a hub from ClusterProfiles and PlacementDecisions that are stored under upstream's
CustomResourceDefinitions to clusterpass serving them.

Stop the cluster manager that owns the ClusterProfiles first, and deploy clusterpass-apiserver
without the component external-inventory. Its Pods become ready when the definitions are gone.

migrate exports everything to a folder before it removes anything. Then it deletes the definitions,
registers clusterpass for the group, and imports everything, with labels, annotations, finalizers
and status. In the end it compares the result with the export. The folder records each step: if
interrupted, run the same command to resume.

The objects get new UIDs. Existing grants are for the old UIDs: they are revoked, and consumers
request new tokens. References to owners that no longer exist are dropped.`

	migrateExample = `  # Say what would be done.
  kubectl clusterpass migrate --dry-run

  # Migrate, after asking you.
  kubectl clusterpass migrate

  # Resume an interrupted run, from any working directory.
  kubectl clusterpass migrate --dir=/backup/clusterpass-migration-1a2b3c4d`
)

// newMigrateCommand returns the command that moves an inventory from CustomResourceDefinitions to
// clusterpass.
func newMigrateCommand(p plugin) *cobra.Command {
	options := migrate.Options{
		Timeout: 5 * time.Minute,
		Service: migrate.ServiceReference{Namespace: hub.SystemNamespace, Name: hub.ServerName, Port: 443},
	}
	var dryRun string
	cmd := &cobra.Command{
		Use:     "migrate",
		Short:   "Move the inventory from CustomResourceDefinitions to clusterpass",
		Long:    migrateLong,
		Example: migrateExample,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch join.DryRun(dryRun) {
			case join.DryRunNone:
			case join.DryRunClient:
				options.DryRun = true
			default:
				return fmt.Errorf("--dry-run=%s: want none or client; the hub cannot try out a migration", dryRun)
			}
			config, _, err := p.hub()
			if err != nil {
				return err
			}
			hub, err := migrate.NewHub(config)
			if err != nil {
				return err
			}
			return migrate.New(hub, options, p.streams).Run(cmd.Context())
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&dryRun, "dry-run", string(join.DryRunNone),
		`"none"; "client" says what would be done, and changes nothing, neither on the hub nor on disk.`)
	fs.Lookup("dry-run").NoOptDefVal = string(join.DryRunClient)
	fs.StringVar(&options.Dir, "dir", options.Dir, "Folder for the export and the state of the migration. "+
		"Default: clusterpass-migration- and the first digits of the hub's UID, in the working directory.")
	fs.BoolVarP(&options.Yes, "yes", "y", options.Yes, "Delete the CustomResourceDefinitions without asking.")
	fs.BoolVar(&options.KeepExisting, "keep-existing", options.KeepExisting,
		"Keep objects that clusterpass already has and that differ from the export, and count them as imported.")
	fs.DurationVar(&options.Timeout, "timeout", options.Timeout,
		"How long to wait until the CustomResourceDefinitions are gone, and until the hub reaches clusterpass.")
	fs.StringVar(&options.Service.Namespace, "service-namespace", options.Service.Namespace,
		"Namespace of the Service of clusterpass-apiserver.")
	fs.StringVar(&options.Service.Name, "service-name", options.Service.Name,
		"Name of the Service of clusterpass-apiserver, and of its Deployment.")
	fs.Int32Var(&options.Service.Port, "service-port", options.Service.Port, "Port of the Service of clusterpass-apiserver.")
	fs.StringVar(&options.CAFile, "ca-file", options.CAFile, "File with the CA of clusterpass-apiserver. "+
		"Default: that of APIService v1alpha1.clusterpass.dev, else ca.crt in Secret clusterpass-apiserver-cert.")
	return cmd
}
