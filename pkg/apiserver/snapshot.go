// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"

	"clusterpass.dev/pkg/embeddedetcd"
)

const snapshotDialTimeout = 10 * time.Second

// newSnapshotCommand returns the command that saves and restores the contents of etcd.
func newSnapshotCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "snapshot",
		Short: "Save and restore what the server stores",
	}
	cmd.AddCommand(newSnapshotSaveCommand(), newSnapshotRestoreCommand())
	return cmd
}

// snapshotSource is the etcd to take a snapshot of.
type snapshotSource struct {
	embeddedEtcdDir string
	server          string
	tls             transport.TLSInfo
}

func (s *snapshotSource) addFlags(fs *pflag.FlagSet) {
	fs.StringVar(&s.embeddedEtcdDir, "embedded-etcd-dir", "", "Folder of the embedded etcd of a running server.")
	fs.StringVar(&s.server, "etcd-servers", "", "URL of one member of the etcd cluster; a snapshot is of one member.")
	fs.StringVar(&s.tls.TrustedCAFile, "etcd-cafile", "", "CA file of etcd.")
	fs.StringVar(&s.tls.CertFile, "etcd-certfile", "", "Client certificate file for etcd.")
	fs.StringVar(&s.tls.KeyFile, "etcd-keyfile", "", "Client key file for etcd.")
}

func (s *snapshotSource) config() (clientv3.Config, error) {
	config := clientv3.Config{DialTimeout: snapshotDialTimeout}
	if (s.embeddedEtcdDir == "") == (s.server == "") {
		return config, errors.New("give one of --embedded-etcd-dir and --etcd-servers")
	}
	if s.embeddedEtcdDir != "" {
		endpoint, err := embeddedetcd.Endpoint(s.embeddedEtcdDir)
		config.Endpoints = []string{endpoint}
		return config, err
	}
	config.Endpoints = []string{s.server}
	if s.tls.TrustedCAFile == "" && s.tls.CertFile == "" {
		return config, nil
	}
	tlsConfig, err := s.tls.ClientConfig()
	if err != nil {
		return config, fmt.Errorf("TLS for etcd: %w", err)
	}
	config.TLS = tlsConfig
	return config, nil
}

func newSnapshotSaveCommand() *cobra.Command {
	var source snapshotSource
	cmd := &cobra.Command{
		Use:   "save FILE",
		Short: "Save everything to FILE, while the server runs",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			config, err := source.config()
			if err != nil {
				return err
			}
			if err := embeddedetcd.Save(cmd.Context(), config, args[0]); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "snapshot saved to %s\n", args[0])
			return err
		},
	}
	source.addFlags(cmd.Flags())
	return cmd
}

func newSnapshotRestoreCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Make a new folder for an embedded etcd from FILE",
		Long: `Make a new folder for an embedded etcd from FILE. Clients that watch start over: resource
versions go on far above those in the snapshot. A snapshot of a real etcd cluster is
restored with etcd's own etcdutl.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := embeddedetcd.Restore(args[0], dir); err != nil {
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s holds what was in %s; start the server with --embedded-etcd-dir %s\n", dir, args[0], dir)
			return err
		},
	}
	cmd.Flags().StringVar(&dir, "embedded-etcd-dir", "", "Folder to make; it must be missing or empty.")
	if err := cmd.MarkFlagRequired("embedded-etcd-dir"); err != nil {
		panic(err) // the flag is defined in the line above
	}
	return cmd
}
