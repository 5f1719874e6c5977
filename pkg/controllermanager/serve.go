// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package controllermanager

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	genericapifilters "k8s.io/apiserver/pkg/endpoints/filters"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	genericapiserver "k8s.io/apiserver/pkg/server"
	genericfilters "k8s.io/apiserver/pkg/server/filters"
	"k8s.io/apiserver/pkg/server/healthz"
	"k8s.io/apiserver/pkg/server/mux"
	"k8s.io/apiserver/pkg/server/routes"
)

const shutdownTimeout = 5 * time.Second

// serve serves health checks to everybody, and metrics to users whom the hub authorises, until ctx
// ends. It closes stopped when the server has stopped.
func (m *manager) serve(ctx context.Context) (stopped <-chan struct{}, err error) {
	o := m.options
	if err := o.SecureServing.MaybeDefaultWithSelfSignedCerts("localhost", nil, []net.IP{net.IPv4(127, 0, 0, 1)}); err != nil {
		return nil, fmt.Errorf("self-signed certificate: %w", err)
	}
	o.Authentication.RemoteKubeConfigFile = cmp.Or(o.Authentication.RemoteKubeConfigFile, o.Kubeconfig)
	o.Authorization.RemoteKubeConfigFile = cmp.Or(o.Authorization.RemoteKubeConfigFile, o.Kubeconfig)
	var serving *genericapiserver.SecureServingInfo
	if err := o.SecureServing.ApplyTo(&serving); err != nil {
		return nil, fmt.Errorf("secure serving: %w", err)
	}
	var authentication genericapiserver.AuthenticationInfo
	if err := o.Authentication.ApplyTo(&authentication, serving, nil); err != nil {
		return nil, fmt.Errorf("authentication: %w", err)
	}
	var authorization genericapiserver.AuthorizationInfo
	if err := o.Authorization.ApplyTo(&authorization); err != nil {
		return nil, fmt.Errorf("authorization: %w", err)
	}
	handler := protected(m.routes(), &authentication, &authorization)
	stopped, _, err = serving.Serve(handler, shutdownTimeout, ctx.Done())
	if err != nil {
		return nil, fmt.Errorf("serving: %w", err)
	}
	return stopped, nil
}

// routes returns the handler of all paths.
func (m *manager) routes() http.Handler {
	paths := mux.NewPathRecorderMux(name)
	healthz.InstallHandler(paths)
	healthz.InstallLivezHandler(paths)
	healthz.InstallReadyzHandler(paths, healthz.NamedCheck("clusterpass-caches", func(*http.Request) error {
		for _, synced := range []func() bool{
			m.grants.Clusterpass().V1alpha1().AuthTokenGrants().Informer().HasSynced,
			m.profiles.Apis().V1alpha1().ClusterProfiles().Informer().HasSynced,
			m.secrets.Synced,
		} {
			if !synced() {
				return errors.New("grants, ClusterProfiles or the kubeconfigs of members are not read yet")
			}
		}
		return nil
	}))
	routes.DefaultMetrics{}.Install(paths)
	return paths
}

// protected returns handler with authentication and authorization by the hub.
func protected(
	handler http.Handler, authentication *genericapiserver.AuthenticationInfo, authorization *genericapiserver.AuthorizationInfo,
) http.Handler {
	scheme := runtime.NewScheme()
	codecs := serializer.NewCodecFactory(scheme)
	info := &genericapirequest.RequestInfoFactory{} // no path here is a resource
	handler = genericapifilters.WithAuthorization(handler, authorization.Authorizer, codecs)
	handler = genericapifilters.WithAuthentication(handler, authentication.Authenticator, genericapifilters.Unauthorized(codecs),
		authentication.APIAudiences, authentication.RequestHeaderConfig)
	handler = genericapifilters.WithRequestInfo(handler, info)
	handler = genericapifilters.WithCacheControl(handler)
	return genericfilters.WithPanicRecovery(handler, info)
}
