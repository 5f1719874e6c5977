// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/api/meta"
	clientauthenticationv1 "k8s.io/client-go/pkg/apis/clientauthentication/v1"
)

// maxLogins bounds how many members the suite reaches.
const maxLogins = 10

// login is what came of reaching the member of a profile.
type login struct {
	profile  profile
	provider *Provider
	access   *accessProvider

	credential    *clientauthenticationv1.ExecCredentialStatus
	at            time.Time // when the plugin was asked
	credentialErr error
	user          string
	userErr       error
	uid           string
	uidErr        error
}

// try runs the plugin and shows the credential to the member.
func (l *login) try(ctx context.Context, h *hub) {
	l.at = time.Now()
	l.credential, l.credentialErr = l.provider.run(ctx, &l.access.Cluster, h.Log)
	if l.userErr, l.uidErr = l.credentialErr, l.credentialErr; l.credentialErr != nil {
		return
	}
	client, err := newMemberClient(&l.access.Cluster, l.credential)
	if l.userErr, l.uidErr = err, err; err != nil {
		return
	}
	l.user, l.userErr = client.whoami(ctx)
	status, answered := errors.AsType[statusError](l.userErr)
	switch {
	case answered && status.refuses():
		l.userErr = violated("%v", l.userErr)
	case l.userErr == nil && echoes(l.user, l.credential.Token):
		l.user, l.userErr = "", violated("the member answers with the token, or a part of it, as the name")
	}
	l.uid, l.uidErr = client.clusterUID(ctx)
}

// echo is how many characters of a token no name has by chance.
const echo = 16

// echoes returns whether a name has a token in it, or a part of one, as far as a report shows it.
func echoes(name, token string) bool {
	name = name[:min(len(name), maxMessage*utf8.UTFMax)]
	for at := range max(0, len(token)-echo+1) {
		if strings.Contains(name, token[at:at+echo]) {
			return true
		}
	}
	return token != "" && strings.Contains(name, token)
}

// kind says which form the credential has.
func (l *login) kind() string {
	switch {
	case l.credential == nil:
		return "none"
	case l.credential.Token == "":
		return "a certificate"
	}
	return "a token"
}

// login reaches the members of the profiles under test, once.
func (h *hub) login(ctx context.Context) ([]*login, error) {
	if len(h.Providers) == 0 {
		return nil, skipped("no plugin is configured; --provider-file names one")
	}
	if len(h.logins) == 0 && len(h.without) == 0 {
		if err := h.chooseLogins(ctx); err != nil {
			return nil, err
		}
		for _, l := range h.logins {
			l.try(ctx, h)
		}
	}
	if len(h.logins) == 0 {
		return nil, skipped("no profile has an access provider that is configured")
	}
	return h.logins, nil
}

// chooseLogins finds out which profiles under test can be reached, and which cannot. A cluster that
// its manager says is down is left out: nobody can reach it.
func (h *hub) chooseLogins(ctx context.Context) error {
	profiles, err := h.underTest(ctx)
	if err != nil {
		return err
	}
	profiles = slices.DeleteFunc(profiles, func(p profile) bool { return meta.IsStatusConditionFalse(p.Status.Conditions, conditionHealthy) })
	if len(profiles) == 0 {
		return skipped("no profile is of a cluster that is healthy")
	}
	for i := range profiles {
		if provider, access := h.choose(&profiles[i]); provider == nil {
			h.without = append(h.without, quote(profiles[i].Name))
		} else if len(h.logins) < maxLogins {
			h.logins = append(h.logins, &login{profile: profiles[i], provider: provider, access: access})
		}
	}
	return nil
}
