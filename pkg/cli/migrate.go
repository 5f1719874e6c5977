// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"clusterpass.dev/pkg/hub"
	"clusterpass.dev/pkg/join"
	"clusterpass.dev/pkg/migrate"
)

const (
	migrateLong = `Move a hub from ClusterProfiles and PlacementDecisions that are stored under upstream's
CustomResourceDefinitions to clusterpass serving them.

Stop the cluster manager that owns the ClusterProfiles first, and deploy clusterpass-apiserver
without the component external-inventory; its Pods are ready once the definitions are gone.

Everything is exported to a folder before anything is removed. Then the definitions are deleted,
the hub is told that clusterpass serves the group, and everything is imported, with labels,
annotations, finalizers and status, and compared with the export. The folder knows how far the
migration is: if interrupted, run the same command to resume.

The objects get new UIDs. Grants that were given while the hub had the definitions are for the
old ones: they are revoked, and consumers ask again. References to owners that are not there
any more are dropped.`

	migrateExample = `  # Say what would be done.
  kubectl clusterpass migrate --dry-run

  # Do it, after asking.
  kubectl clusterpass migrate

  # Go on with a run that was interrupted, from wherever this is called.
  kubectl clusterpass migrate --dir=/backup/clusterpass-migration-1a2b3c4d`

	migrateTimeout = 5 * time.Minute
)

// newMigrateCommand returns the command that moves an inventory from CustomResourceDefinitions to clusterpass.
func newMigrateCommand(flags *genericclioptions.ConfigFlags, streams genericiooptions.IOStreams) *cobra.Command {
	options := migrate.Options{
		Timeout: migrateTimeout,
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
				return fmt.Errorf("--dry-run=%s: want none or client; what the hub is to take over, it can't try", dryRun)
			}
			config, err := hubConfig(flags)
			if err != nil {
				return err
			}
			hub, err := migrate.NewHub(config)
			if err != nil {
				return err
			}
			return migrate.New(hub, options, streams).Run(cmd.Context())
		},
	}
	addMigrateFlags(cmd.Flags(), &options)
	cmd.Flags().StringVar(&dryRun, "dry-run", string(join.DryRunNone), `"none"; "client" says what would be done, and changes nothing on the hub nor on disk.`)
	cmd.Flags().Lookup("dry-run").NoOptDefVal = string(join.DryRunClient)
	return cmd
}

func addMigrateFlags(fs *pflag.FlagSet, options *migrate.Options) {
	fs.StringVar(&options.Dir, "dir", options.Dir, "Folder for the export and the state of the migration. "+
		"Default: clusterpass-migration- and the first digits of the hub's UID, in the working directory.")
	fs.BoolVarP(&options.Yes, "yes", "y", options.Yes, "Delete the CustomResourceDefinitions without asking.")
	fs.BoolVar(&options.KeepExisting, "keep-existing", options.KeepExisting,
		"Leave objects that clusterpass has already and that differ from the export as they are, and take them for imported.")
	fs.DurationVar(&options.Timeout, "timeout", options.Timeout, "How long to wait for the CustomResourceDefinitions to go, and for the hub to reach clusterpass.")
	fs.StringVar(&options.Service.Namespace, "service-namespace", options.Service.Namespace, "Namespace of the Service of clusterpass-apiserver.")
	fs.StringVar(&options.Service.Name, "service-name", options.Service.Name, "Name of the Service of clusterpass-apiserver, and of its Deployment.")
	fs.Int32Var(&options.Service.Port, "service-port", options.Service.Port, "Port of the Service of clusterpass-apiserver.")
	fs.StringVar(&options.CAFile, "ca-file", options.CAFile, "File with the CA of clusterpass-apiserver. "+
		"Default: that of APIService v1alpha1.clusterpass.dev, else ca.crt in Secret clusterpass-apiserver-cert.")
}
