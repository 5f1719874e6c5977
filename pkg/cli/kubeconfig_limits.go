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

	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

const (
	// maxExecInfo is how long KUBERNETES_EXEC_INFO may be: Linux takes 128 KiB for one variable (MAX_ARG_STRLEN), its
	// name included. The rest is for what else client-go puts there.
	maxExecInfo = 120 << 10
	// lockSuffix is that of the lock file that every program of client-go makes beside a kubeconfig while it writes it.
	lockSuffix = ".lock"
	// lockTimeout is for how long to wait for a program that writes a kubeconfig now: it takes milliseconds.
	lockTimeout = 2 * time.Second
	lockPoll    = 50 * time.Millisecond
)

// execInfoSize returns about how long what client-go passes to a credential plugin is.
func execInfoSize(cluster *clientcmdapi.Cluster) int {
	// JSON has bytes in base64.
	return (len(cluster.CertificateAuthorityData)+2)/3*4 + len(cluster.Server) + len(cluster.TLSServerName) + len(cluster.ProxyURL)
}

// unlocked returns nil when a kubeconfig can be written: all its files can be locked as clientcmd.ModifyConfig does.
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
	return fmt.Errorf("kubeconfig %s is locked by %s, which was made %s ago: another kubectl writes it, or one has ended while it did. If none runs, remove the lock: rm %s",
		strings.TrimSuffix(exists.Path, lockSuffix), exists.Path, age, exists.Path)
}
