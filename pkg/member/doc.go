// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package member provides clients for member clusters, one for each ClusterProfile. It finds their
// credentials and checks what these may be used for, limits the load on each member, and turns
// failures of members into errors for requesters. It does not know what the clients are used for.
//
// To follow one call, read the files in this order:
//
//	pool.go             Pool: the client for a ClusterProfile, from the cached Secret or from the stored
//	                    one; when clients are closed
//	provider.go         how a provider finds the access to a member, and which provider is used
//	provider_secret.go  the access by a kubeconfig in a Secret
//	provider_exec.go    the access by a credential plugin
//	secrets.go          the cache of Secrets with kubeconfigs, their labels and annotations, and members
//	                    that are being removed from the hub
//	client.go           Client: its connections, the clients with another token, and the member's UID
//	transport.go        the way of each request: through the gate, and its answer back
//	gate.go             how many calls are in flight, and when the connections are closed
//	breaker.go          when a member that does not answer is not called
//	answer.go           what an answer may cost, and its check
//	failure.go          why a call failed
//	status.go           the errors that requesters get
//
// The other files are token.go (claims and checks of tokens), validation.go (of the configuration)
// and metrics.go.
package member
