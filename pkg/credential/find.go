// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clientauthenticationv1 "k8s.io/client-go/pkg/apis/clientauthentication/v1"

	"clusterpass.dev/apis/multicluster/v1alpha1"
	"clusterpass.dev/apis/multicluster/v1alpha2"
)

const (
	// pageSize is how many ClusterProfiles are asked for at once, maxPage bounds the answer in bytes,
	// and maxPages how many there are: 10,000 ClusterProfiles are the hub's own limit for a namespace.
	pageSize = 500
	maxPage  = 8 << 20
	maxPages = 20
	// maxProfilesSize bounds the ClusterProfiles of a namespace in bytes.
	maxProfilesSize = 64 << 20
)

// profileVersions are the versions in which a hub may serve ClusterProfiles. What is read of them
// is the same in all.
var profileVersions = []string{v1alpha2.SchemeGroupVersion.Version, v1alpha1.SchemeGroupVersion.Version}

// profilePage is what is read of a list of ClusterProfiles.
type profilePage struct {
	metav1.ListMeta `json:"metadata"`

	// Items are decoded one by one: an object with a value that is unusual hides no other.
	Items []json.RawMessage `json:"items"`
}

// listedProfile is what is read of a ClusterProfile.
type listedProfile struct {
	Metadata struct {
		Name string    `json:"name"`
		UID  types.UID `json:"uid"`
	} `json:"metadata"`
	Status struct {
		AccessProviders []struct {
			Cluster v1alpha1.Cluster `json:"cluster"`
		} `json:"accessProviders"`
	} `json:"status"`
}

// FindProfile returns the one ClusterProfile of a namespace that has an access provider, of any
// name, with the server and the authorities that a client connects with. It is an error if several
// have one or none has, and if the hub's user may not list ClusterProfiles there.
func (h *Hub) FindProfile(
	ctx context.Context, namespace string, to *clientauthenticationv1.Cluster,
) (found v1alpha1.ClusterProfileReference, err error) {
	ctx, cancel := context.WithTimeout(ctx, mintTimeout)
	defer cancel()
	for _, version := range profileVersions {
		found, err = h.findProfile(ctx, version, namespace, to)
		if !apierrors.IsNotFound(err) {
			break
		}
	}
	if err != nil {
		return found, fmt.Errorf("looking for the ClusterProfile of server %q in namespace %s of hub %s: %w; --%s names it without looking",
			to.Server, namespace, h.config.Host, err, flagProfile)
	}
	return found, nil
}

func (h *Hub) findProfile(
	ctx context.Context, version, namespace string, to *clientauthenticationv1.Cluster,
) (found v1alpha1.ClusterProfileReference, err error) {
	size, next := 0, ""
	for range maxPages {
		result := h.client.Get().AbsPath("/apis", v1alpha1.GroupName, version, "namespaces", namespace, "clusterprofiles").
			Param("limit", strconv.Itoa(pageSize)).Param("continue", next).Do(ctx)
		// Raw leaves out what the hub says of an error.
		if err := result.Error(); err != nil {
			return found, err
		}
		content, err := result.Raw()
		if err != nil {
			return found, err
		}
		var page profilePage
		if size += len(content); size > maxProfilesSize || len(content) >= maxPage {
			return found, fmt.Errorf("there is more than %d bytes, or %d in %d ClusterProfiles", maxProfilesSize, maxPage, pageSize)
		}
		if err := json.Unmarshal(content, &page); err != nil {
			return found, fmt.Errorf("the answer is no list: %w", err)
		}
		for _, item := range page.Items {
			var profile listedProfile
			if json.Unmarshal(item, &profile) != nil || !profile.fits(to) {
				continue
			}
			if found.Name != "" {
				return found, fmt.Errorf("both %s and %s have this server and these certificate authorities",
					found.Name, profile.Metadata.Name)
			}
			found = v1alpha1.ClusterProfileReference{Namespace: namespace, Name: profile.Metadata.Name, UID: profile.Metadata.UID}
		}
		next = page.Continue
		switch {
		case next == "" && found.Name == "":
			return found, errors.New("none has an access provider with this server and these certificate authorities")
		case next == "":
			return found, nil
		}
	}
	return found, fmt.Errorf("there are more than %d", maxPages*pageSize)
}

// fits returns whether a client that connects as it says in to may be one that was built from the
// profile.
func (p *listedProfile) fits(to *clientauthenticationv1.Cluster) bool {
	for _, provider := range p.Status.AccessProviders {
		if checkDestination(to, provider.Cluster) == nil {
			return true
		}
	}
	return false
}
