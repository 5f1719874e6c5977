// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
	"time"

	"k8s.io/utils/clock"
)

const (
	// loginsName is the file of the cache that says whose the credentials were which the hub was asked
	// about.
	loginsName = "logins"
	// loginsVersion is its format.
	loginsVersion = 1
	// maxLogins bounds how many it holds: an exec plugin may print another credential each time.
	maxLogins = 64
	// loginAge is for how long one is remembered.
	loginAge = 7 * 24 * time.Hour
	// loginKeySize is that of the key in bytes.
	loginKeySize = 32
)

// logins remembers whose credential is whose. Credentials are kept as keyed hashes alone, by a
// random key of the folder: the file does not tell whether a guess of a password is right to
// whoever gets hold of another file of it.
type logins struct {
	cache cache
	// hub is a hash of the hub that the credentials are for.
	hub   string
	clock clock.PassiveClock
}

// login is a credential that the hub was asked about.
type login struct {
	Credential string    `json:"credential"`
	Identity   string    `json:"identity"`
	Username   string    `json:"username,omitempty"`
	At         time.Time `json:"at"`
}

type loginsFile struct {
	Version int     `json:"version"`
	Key     []byte  `json:"key" datapolicy:"security-key"`
	Known   []login `json:"known"`
}

// find returns the login of a credential; its identity is empty when it is not known.
func (l *logins) find(ctx context.Context, credential []byte) (login, error) {
	file, err := l.open(ctx)
	if err != nil {
		return login{}, err
	}
	sum := l.sum(file, credential)
	for _, known := range file.Known {
		if known.Credential == sum && l.clock.Since(known.At) < loginAge {
			return known, nil
		}
	}
	return login{Credential: sum}, nil
}

// remember keeps whose a credential is. Where that is not possible, the hub is asked again the next
// time.
func (l *logins) remember(ctx context.Context, credential []byte, found login) error {
	unlock, err := l.cache.lock(ctx, loginsName)
	if err != nil {
		return err
	}
	defer unlock()
	file, err := l.load()
	if err != nil || file == nil || l.sum(file, credential) != found.Credential {
		return err // the key is another by now
	}
	found.At = l.clock.Now()
	file.Known = slices.DeleteFunc(file.Known, func(known login) bool {
		return known.Credential == found.Credential || l.clock.Since(known.At) >= loginAge
	})
	file.Known = append(file.Known, found)
	file.Known = file.Known[max(0, len(file.Known)-maxLogins):]
	return l.cache.replace(loginsName, file)
}

// open returns what is kept. Where there is nothing that can be used, it begins anew, with another
// key.
func (l *logins) open(ctx context.Context) (*loginsFile, error) {
	if file, err := l.load(); file != nil || err != nil {
		return file, err
	}
	unlock, err := l.cache.lock(ctx, loginsName)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if file, err := l.load(); file != nil || err != nil {
		return file, err
	}
	file := &loginsFile{Version: loginsVersion, Key: make([]byte, loginKeySize)}
	if _, err := rand.Read(file.Key); err != nil {
		return nil, err
	}
	// A key that cannot be kept, as on a read-only filesystem, is for this once.
	_ = l.cache.replace(loginsName, file)
	return file, nil
}

// load returns what is kept, or nil if there is nothing that can be used.
func (l *logins) load() (*loginsFile, error) {
	content, err := readFile(filepath.Join(l.cache.dir, loginsName))
	if errors.Is(err, errUnsafe) {
		return nil, err
	}
	file := &loginsFile{}
	if err != nil || json.Unmarshal(content, file) != nil || file.Version != loginsVersion || len(file.Key) != loginKeySize {
		return nil, nil //nolint:nilerr,nilnil // it is replaced
	}
	return file, nil
}

// sum returns the keyed hash of a credential for the hub.
func (l *logins) sum(file *loginsFile, credential []byte) string {
	mac := hmac.New(sha256.New, file.Key)
	mac.Write([]byte(l.hub))
	mac.Write(credential)
	return hex.EncodeToString(mac.Sum(nil))
}
