// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package member

import (
	"fmt"
	"os"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"

	configv1alpha1 "clusterpass.dev/apis/config/v1alpha1"
)

// DefaultConfig returns the configuration that is used without a file: it reads member kubeconfigs
// from Secrets of the namespace clusterpass-system, and runs no plugins.
func DefaultConfig() *configv1alpha1.AccessConfiguration {
	config := &configv1alpha1.AccessConfiguration{}
	configScheme().Default(config)
	return config
}

// LoadFile reads an AccessConfiguration in YAML or JSON. The file has to have apiVersion and kind;
// an unknown or repeated field is an error. The result has defaults and is valid. The error for an
// invalid file names the path of every wrong field.
func LoadFile(path string) (*configv1alpha1.AccessConfiguration, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	scheme := configScheme()
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	object, _, err := decoder.Decode(data, nil, nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	config, ok := object.(*configv1alpha1.AccessConfiguration)
	if !ok {
		return nil, fmt.Errorf("%s: it is a %s, not an AccessConfiguration", path, object.GetObjectKind().GroupVersionKind())
	}
	scheme.Default(config)
	if err := Validate(config).ToAggregate(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return config, nil
}

func configScheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	utilruntime.Must(configv1alpha1.AddToScheme(scheme))
	return scheme
}
