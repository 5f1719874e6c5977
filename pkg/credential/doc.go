// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package credential gets tokens for member clusters from the hub, keeps them on disk while they
// are fresh, and hands them to client-go as an exec credential (KEP-541). It is what `kubectl
// clusterpass get-token` and the plugin clusterpass-credential-plugin of KEP-5339 have in common.
// It knows nothing of terminals.
//
// # The access provider clusterpass
//
// A ClusterProfile says by an access provider of the name clusterpass that its cluster is reached
// through the hub. The extension that KEP-5339 reserves for the plugin holds a Request: the spec of
// an AuthTokenRequest, with the namespace that it is made in where that is not the profile's.
//
//	status:
//	  accessProviders:
//	  - name: clusterpass
//	    cluster:
//	      server: https://bravelion.example.com:6443
//	      certificate-authority-data: LS0t...
//	      extensions:
//	      - name: client.authentication.k8s.io/exec
//	        extension:
//	          requestNamespace: team-a        # by default that of the ClusterProfile
//	          targetClusterProfile: {namespace: fleet, name: bravelion}
//	          serviceAccountNamespace: default
//	          serviceAccountName: kueue
//	          clusterRoles: [{name: multikueue}]
//
// Access providers that others write, of any name, say less: the name of the cluster alone, or
// nothing. Flags say the rest, and Target which ClusterProfile is meant: by its name, or by the
// server and the authorities that the client is about to use.
//
// The consumer configures upstream's access library with the plugin; apiVersion may be v1beta1,
// too:
//
//	{"providers": [{"name": "clusterpass", "execConfig": {
//	  "apiVersion": "client.authentication.k8s.io/v1",
//	  "command": "/plugins/clusterpass-credential-plugin",
//	  "provideClusterInfo": true, "interactiveMode": "Never"}}]}
//
// # Trust
//
// The extension is whatever the writers of the profile say. It can make the consumer ask for any
// cluster and any role, so the hub decides by the consumer's own rights, and the consumer's flags,
// where given, win over the extension. The answer of the hub names the server and the authorities
// of the cluster, and a token goes to no client that is about to use others.
//
// A cached token belongs to a user of the hub, as the hub names them in a SelfSubjectReview, and
// not to a kubeconfig: an exec plugin may log in as anybody. The hub is asked once for each
// credential of a login, whose keyed hash is kept. Annotations of a request are the requester's: an
// extension that has some is refused.
//
// A ClusterProfile is found by its server only if no other of the namespace has the same, and the
// hub then decides again which server is its own. So who writes profiles can have a search refused,
// and not have a token sent elsewhere. With Target.Profile a client need not say where it connects
// to, and nothing is checked then: it is for who writes both into one configuration.
//
// What cannot be known here is which profile the client was built from. A writer of profiles who
// puts another cluster's server, authority and name into one leads its consumers to that cluster,
// as far as they have rights there.
package credential
