// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package migrate

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
)

const (
	manifestName = "manifest.json"
	stateName    = "state.json"
	// dirMode is that of the folder: an inventory says where clusters are and how they are reached.
	// Its files, as those of os.CreateTemp, are for their owner alone, too.
	dirMode = 0o700
	// hashLength is how much of a file's SHA-256, in hex digits, is in its name.
	hashLength = 12
)

// folder is where a migration keeps what it exported and how far it is. A file is replaced as a
// whole or not at all, and the manifest names others only once they are on disk.
type folder struct {
	path     string
	manifest manifest
	state    state
}

// manifest lists what was exported. It is written last.
type manifest struct {
	// HubUID is that of the hub's namespace kube-system, which tells hubs apart.
	HubUID  types.UID        `json:"hubUID"`
	Exports []resourceExport `json:"exports"`
}

// resourceExport is the export of one resource.
type resourceExport struct {
	Resource string `json:"resource"`
	// CRDUID is the UID of the CustomResourceDefinition that the objects were stored under.
	CRDUID types.UID `json:"crdUID"`
	// File has the objects as a List, CRDFile the definition. Their names end in the beginning of
	// their SHA-256.
	File    string `json:"file"`
	CRDFile string `json:"crdFile"`
	// SHA256 is that of File, in hex.
	SHA256  string     `json:"sha256"`
	Objects []objectID `json:"objects"`
}

// objectID says which object was exported, and in which version of it.
type objectID struct {
	Namespace       string    `json:"namespace"`
	Name            string    `json:"name"`
	UID             types.UID `json:"uid"`
	ResourceVersion string    `json:"resourceVersion"`
}

// state names the last step that was completed.
type state struct {
	Completed Step `json:"completed"`
}

// openFolder reads what is at path. Nothing at all is the folder of a migration that has not begun.
func openFolder(path string) (*folder, error) {
	f := &folder{path: path}
	if err := f.read(manifestName, &f.manifest); err != nil {
		return nil, err
	}
	if err := f.read(stateName, &f.state); err != nil {
		return nil, err
	}
	return f, nil
}

// read decodes a file, and leaves into as it is where there is none.
func (f *folder) read(name string, into any) error {
	data, err := os.ReadFile(filepath.Join(f.path, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the folder of the migration: %w", err)
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return fmt.Errorf("%s in folder %s is not a file of a migration: %w", name, f.path, err)
	}
	return nil
}

// export returns the export of a resource, or nil.
func (f *folder) export(resource string) *resourceExport {
	for i := range f.manifest.Exports {
		if f.manifest.Exports[i].Resource == resource {
			return &f.manifest.Exports[i]
		}
	}
	return nil
}

// moved returns the UIDs that the exported objects had.
func (f *folder) moved() sets.Set[types.UID] {
	uids := sets.New[types.UID]()
	for _, export := range f.manifest.Exports {
		for _, object := range export.Objects {
			uids.Insert(object.UID)
		}
	}
	return uids
}

// load returns the exported objects of a resource, in export form. It refuses a file that is not as
// it was written.
func (f *folder) load(export *resourceExport) ([]*unstructured.Unstructured, error) {
	data, err := os.ReadFile(filepath.Join(f.path, export.File))
	if err != nil {
		return nil, fmt.Errorf("reading the export: %w", err)
	}
	if got := checksum(data); got != export.SHA256 {
		return nil, fmt.Errorf("%s is not what was exported: its SHA-256 is %s and not %s",
			filepath.Join(f.path, export.File), got, export.SHA256)
	}
	list := &unstructured.UnstructuredList{}
	if err := list.UnmarshalJSON(data); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(f.path, export.File), err)
	}
	objects := make([]*unstructured.Unstructured, 0, len(list.Items))
	for i := range list.Items {
		objects = append(objects, &list.Items[i])
	}
	return objects, nil
}

// save writes the definition of a kind and its objects, and returns what the manifest is to have of
// them.
func (f *folder) save(k kind, crd *apiextensionsv1.CustomResourceDefinition, live []*unstructured.Unstructured) (resourceExport, error) {
	export := resourceExport{Resource: k.resource, CRDUID: crd.UID, Objects: []objectID{}}
	items := make([]any, 0, len(live))
	for _, object := range live {
		items = append(items, exportForm(object).Object)
		export.Objects = append(export.Objects, identify(object))
	}
	var err error
	export.File, export.SHA256, err = f.writeNamed(k.resource, map[string]any{"apiVersion": "v1", "kind": "List", "items": items})
	if err != nil {
		return export, err
	}
	definition := &apiextensionsv1.CustomResourceDefinition{TypeMeta: crd.TypeMeta, Spec: crd.Spec}
	definition.SetGroupVersionKind(apiextensionsv1.SchemeGroupVersion.WithKind("CustomResourceDefinition"))
	definition.Name, definition.Labels, definition.Annotations = crd.Name, crd.Labels, crd.Annotations
	export.CRDFile, _, err = f.writeNamed(k.resource+"-crd", definition)
	return export, err
}

// saveManifest replaces the exports of the same resources in the manifest. Their files stay.
func (f *folder) saveManifest(hubUID types.UID, exports []resourceExport) error {
	next := manifest{HubUID: hubUID, Exports: exports}
	for _, before := range f.manifest.Exports {
		if !slices.ContainsFunc(exports, func(export resourceExport) bool { return export.Resource == before.Resource }) {
			next.Exports = append(next.Exports, before)
		}
	}
	if err := f.writeJSON(manifestName, next); err != nil {
		return err
	}
	f.manifest = next
	return nil
}

// complete records that a step was completed, unless a later one was.
func (f *folder) complete(step Step) error {
	if slices.Index(order, f.state.Completed) >= slices.Index(order, step) {
		return nil
	}
	next := state{Completed: step}
	if err := f.writeJSON(stateName, next); err != nil {
		return err
	}
	f.state = next
	return nil
}

// writeNamed writes value to a file whose name begins with prefix and ends in a part of its
// content's SHA-256, so that no file that a manifest names is ever written over. It returns the
// file's name and the SHA-256.
func (f *folder) writeNamed(prefix string, value any) (name, sum string, err error) {
	data, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return "", "", fmt.Errorf("encoding the export: %w", err)
	}
	sum = checksum(data)
	name = prefix + "-" + sum[:hashLength] + ".json"
	return name, sum, f.write(name, data)
}

func (f *folder) writeJSON(name string, value any) error {
	data, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding %s: %w", name, err)
	}
	return f.write(name, data)
}

// write makes a file with data, or replaces it as a whole. It is on disk when write returns.
func (f *folder) write(name string, data []byte) error {
	if err := os.MkdirAll(f.path, dirMode); err != nil {
		return fmt.Errorf("making the folder of the migration: %w", err)
	}
	temporary, err := os.CreateTemp(f.path, "."+name+"-")
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	defer func() { _ = os.Remove(temporary.Name()) }() // there is none after the rename
	_, err = temporary.Write(data)
	if err = errors.Join(err, temporary.Sync(), temporary.Close()); err == nil {
		err = os.Rename(temporary.Name(), filepath.Join(f.path, name))
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	// Names of files survive a crash of the machine, too, where the operating system can do that.
	if dir, err := os.Open(f.path); err == nil {
		_ = dir.Sync()
		dir.Close()
	}
	return nil
}

func identify(object *unstructured.Unstructured) objectID {
	return objectID{
		Namespace: object.GetNamespace(), Name: object.GetName(),
		UID: object.GetUID(), ResourceVersion: object.GetResourceVersion(),
	}
}

func checksum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
