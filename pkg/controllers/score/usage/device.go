// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
)

// DeviceLabel is a label of nodes with the type of a device.
type DeviceLabel struct {
	// Resource is the device's resource name.
	Resource corev1.ResourceName
	// Label is the key of the node's label.
	Label string
}

// DefaultDeviceLabels returns the labels of the vendors' feature discovery and of the large clouds.
// If a node has several for one resource, the first one is used.
func DefaultDeviceLabels() []string {
	return []string{
		"nvidia.com/gpu=nvidia.com/gpu.product",
		"nvidia.com/gpu=cloud.google.com/gke-accelerator",
		"nvidia.com/gpu=k8s.amazonaws.com/accelerator",
		"nvidia.com/gpu=karpenter.k8s.aws/instance-gpu-name",
		"nvidia.com/gpu=accelerator",
		"amd.com/gpu=amd.com/gpu.product-name",
		"google.com/tpu=cloud.google.com/gke-tpu-accelerator",
	}
}

// ParseDeviceLabels parses pairs of the form RESOURCE=LABEL. Its error names the invalid pair.
func ParseDeviceLabels(pairs []string) ([]DeviceLabel, error) {
	labels := make([]DeviceLabel, 0, len(pairs))
	for _, pair := range pairs {
		name, label, _ := strings.Cut(pair, "=")
		for _, part := range []string{name, label} {
			if msgs := validation.IsQualifiedName(part); len(msgs) > 0 {
				return nil, fmt.Errorf("%q is not RESOURCE=LABEL: %q: %s", pair, part, strings.Join(msgs, "; "))
			}
		}
		labels = append(labels, DeviceLabel{Resource: corev1.ResourceName(name), Label: label})
	}
	return labels, nil
}

// types returns the types of devices according to the labels of a node, or the node selector of a
// pod. It ignores values that are not valid for a label.
func types(keys []DeviceLabel, labels map[string]string) map[corev1.ResourceName]string {
	var found map[corev1.ResourceName]string
	for _, key := range keys {
		value := labels[key.Label]
		if value == "" || found[key.Resource] != "" || len(value) > validation.LabelValueMaxLength ||
			len(validation.IsValidLabelValue(value)) > 0 {
			continue
		}
		if found == nil {
			found = map[corev1.ResourceName]string{}
		}
		found[key.Resource] = value
	}
	return found
}
