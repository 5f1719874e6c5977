// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package artifacts has the manifests that programs need, too: what a member has to have, and what
// the programs may do on the hub.
package artifacts

import (
	"embed"
	"errors"
	"io"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
)

//go:embed deploy/member deploy/rbac
var files embed.FS

const readSize = 4096

// Objects returns the objects of files below this folder, in their order. It panics if there is no
// such file.
func Objects(paths ...string) []*unstructured.Unstructured {
	var objects []*unstructured.Unstructured
	for _, path := range paths {
		file, err := files.Open(path)
		utilruntime.Must(err)
		decoder := yaml.NewYAMLOrJSONDecoder(file, readSize)
		for {
			object := &unstructured.Unstructured{}
			err := decoder.Decode(object)
			if errors.Is(err, io.EOF) {
				break
			}
			utilruntime.Must(err)
			objects = append(objects, object)
		}
	}
	return objects
}
