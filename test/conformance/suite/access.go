// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"context"
	"errors"
	"time"
)

// accessSpecs are about reaching members by status.accessProviders, with a plugin.
func accessSpecs() []Spec {
	return []Spec{
		{
			ID: "access-provider", Side: Consumer, Level: Required, Ref: kep5339,
			Sentence: "A ClusterProfile has an access provider of a configured name, with the URL of a server.",
			check:    checkProvider,
		},
		eachLogin("access-credential", Required,
			"The plugin answers with an ExecCredential of the version that it is asked for, which has a token, or a certificate and its key.",
			func(l *login) (string, error) { return l.kind(), l.credentialErr }),
		eachLogin("access-authenticated", Required, "The member knows the credential, and says whose it is.",
			func(l *login) (string, error) { return l.user, l.userErr }),
		eachLogin("expiry-reported", Required,
			"The plugin says when the credential expires (expirationTimestamp), and not later than it does.", checkExpiry),
		{
			ID: "member-id-one-cluster", Side: Consumer, Level: Optional, Ref: kep4322 + "#uniqueness-of-the-clusterprofile-object",
			Sentence: "Profiles with one inventory-member-id reach one cluster, whatever their namespaces; those with two ids reach two.",
			check:    checkOneCluster,
		},
	}
}

func checkProvider(ctx context.Context, h *hub) (string, error) {
	logins, err := h.login(ctx)
	if len(h.without) > 0 {
		return "", violated("without an access provider that is configured: %s", these(h.without))
	}
	if err != nil {
		return "", err
	}
	return overLogins(logins, func(l *login) (string, error) {
		_, err := serverURL(&l.access.Cluster)
		return l.provider.Name, err
	})
}

// eachLogin returns a spec that the access of each profile under test has to meet.
func eachLogin(id string, level Level, sentence string, one func(l *login) (observed string, err error)) Spec {
	check := func(ctx context.Context, h *hub) (string, error) {
		logins, err := h.login(ctx)
		if err != nil {
			return "", err
		}
		return overLogins(logins, one)
	}
	return Spec{ID: id, Side: Consumer, Level: level, Ref: kep5339, Sentence: sentence, check: check}
}

// overLogins checks one login after another. A violation counts most, and then what could not be
// told; a skip counts if nothing was observed.
func overLogins(logins []*login, one func(l *login) (observed string, err error)) (string, error) {
	var broken, unknown, unchecked, seen []string
	for _, l := range logins {
		observed, err := one(l)
		words := quote(l.profile.Name) + ": "
		switch {
		case err == nil:
			seen = append(seen, words+observed)
		case isA[violationError](err):
			broken = append(broken, words+err.Error())
		case isA[skipError](err):
			unchecked = append(unchecked, words+err.Error())
		default:
			unknown = append(unknown, words+err.Error())
		}
	}
	switch {
	case len(broken) > 0:
		return "", violated("%s", these(broken))
	case len(unknown) > 0:
		return "", errors.New(these(unknown))
	case len(seen) == 0:
		return "", skipped("%s", these(unchecked))
	}
	return these(append(seen, unchecked...)), nil
}

func checkExpiry(l *login) (string, error) {
	if l.credentialErr != nil {
		return "", skipped("there is no credential")
	}
	end, known := endOf(l.credential)
	stamp := l.credential.ExpirationTimestamp
	switch {
	case stamp == nil && !known:
		return "", skipped("no expiry is reported, and the token does not show whether it expires")
	case stamp == nil:
		return "", violated("no expiry is reported of a credential that ends at %s", end.UTC().Format(time.RFC3339))
	case !stamp.After(l.at):
		return "", violated("the credential expired at %s, before the plugin was asked", stamp.UTC().Format(time.RFC3339))
	case known && stamp.After(end):
		return "", violated("%s is reported, and the credential ends at %s", stamp.UTC().Format(time.RFC3339), end.UTC().Format(time.RFC3339))
	}
	return "expires in " + stamp.Sub(l.at).Round(time.Second).String(), nil
}

// checkRenewed waits for credentials to expire, runs the plugins again and shows what they give to
// the members.
func checkRenewed(ctx context.Context, h *hub) (string, error) {
	logins, err := h.login(ctx)
	if err != nil {
		return "", err
	}
	return overLogins(logins, func(l *login) (string, error) {
		if l.credentialErr != nil || l.credential.ExpirationTimestamp == nil {
			return "", skipped("no expiry is reported")
		}
		expires := l.credential.ExpirationTimestamp.Time
		if expires.After(h.deadline) && time.Now().Before(expires) {
			return "", skipped("the credential expires in %s, which is longer than --watch-for", time.Until(expires).Round(time.Second))
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(time.Until(expires)):
		}
		next := &login{profile: l.profile, provider: l.provider, access: l.access}
		next.try(ctx, h)
		return renewed(l, next)
	})
}

// renewed compares a credential with the one after its expiry.
func renewed(old, next *login) (string, error) {
	if next.userErr != nil {
		return "", next.userErr
	}
	if old.credential.Token == next.credential.Token && old.credential.ClientCertificateData == next.credential.ClientCertificateData {
		return "", violated("after its expiry the plugin gives the same credential again")
	}
	stamp := next.credential.ExpirationTimestamp
	if stamp == nil || !stamp.After(old.credential.ExpirationTimestamp.Time) {
		return "", violated("the new credential does not expire later than the old one")
	}
	if _, err := checkExpiry(next); err != nil {
		return "", err
	}
	return "a new credential, for " + next.user, nil
}
