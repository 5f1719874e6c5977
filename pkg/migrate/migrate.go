// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

// Package migrate moves a hub from ClusterProfiles and PlacementDecisions that are stored under
// upstream's CustomResourceDefinitions to clusterpass serving them. Everything that moves is on
// disk before anything is removed; if a run is interrupted, the next one resumes it.
package migrate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// Step is one of the steps of a migration. Empty: none.
type Step string

// The steps, in their order.
const (
	StepPreflight Step = "preflight"
	StepExport    Step = "export"
	StepRemove    Step = "remove"
	StepRegister  Step = "register"
	StepImport    Step = "import"
)

var order = []Step{"", StepPreflight, StepExport, StepRemove, StepRegister, StepImport}

// Options say how to migrate.
type Options struct {
	// Dir is the folder for the export and the state of the migration. Empty: clusterpass-migration-
	// and the first eight digits of the hub's UID, in the working directory.
	Dir string
	// Yes removes the CustomResourceDefinitions without asking.
	Yes bool
	// DryRun says what would be done and changes nothing, neither on the hub nor on disk.
	DryRun bool
	// KeepExisting takes objects that exist and differ from the export for moved.
	KeepExisting bool
	// Timeout bounds the wait for the CustomResourceDefinitions to go, and that for the APIService to
	// be available.
	Timeout time.Duration
	// Service is that of clusterpass-apiserver.
	Service ServiceReference
	// CAFile has the certificates that verify clusterpass-apiserver's. Empty: those of its other
	// APIService, else those in the Secret with its certificate.
	CAFile string
}

// ServiceReference names a port of a Service of the hub.
type ServiceReference struct {
	Namespace, Name string
	Port            int32
}

// String returns namespace/name:port.
func (s ServiceReference) String() string {
	return fmt.Sprintf("%s/%s:%d", s.Namespace, s.Name, s.Port)
}

// Migration moves one hub.
type Migration struct {
	hub     *Hub
	options Options
	streams genericiooptions.IOStreams
	folder  *folder
	// removing is set once this run has asked for the deletion of a CustomResourceDefinition.
	removing bool
}

// New returns a migration of hub. It tells one line a step on the standard output of streams,
// warnings on its standard error, and asks for confirmation on its standard input.
func New(hub *Hub, options Options, streams genericiooptions.IOStreams) *Migration {
	return &Migration{hub: hub, options: options, streams: streams}
}

// Run takes all steps that are left. The text of its error says which one failed, what the state is
// and how to go on.
func (m *Migration) Run(ctx context.Context) error {
	found, err := m.preflight(ctx)
	if err != nil {
		return m.stopped(StepPreflight, err)
	}
	for _, warning := range found.warnings {
		fmt.Fprintf(m.streams.ErrOut, "Warning: %s\n", warning)
	}
	if len(found.blockers) > 0 {
		return m.stopped(StepPreflight, errors.New("the migration can't go on:\n- "+strings.Join(found.blockers, "\n- ")))
	}
	m.say(StepPreflight, found.summary)
	if found.done {
		return nil
	}
	if m.options.DryRun {
		m.describe(found)
		return nil
	}
	for _, step := range []struct {
		name Step
		take func(context.Context, *findings) (string, error)
	}{
		{StepExport, m.export},
		{StepRemove, m.remove},
		{StepRegister, m.register},
		{StepImport, m.importAll},
	} {
		said, err := step.take(ctx, found)
		if err == nil {
			err = m.folder.complete(step.name)
		}
		if err != nil {
			return m.stopped(step.name, err)
		}
		m.say(step.name, said)
	}
	return nil
}

func (m *Migration) say(step Step, what string) { fmt.Fprintf(m.streams.Out, "%-10s %s\n", step, what) }

// describe says what the steps that are left would do.
func (m *Migration) describe(found *findings) {
	would := func(step Step, what string) { m.say(step, "would "+what) }
	if live := found.live(); len(live) > 0 {
		would(StepExport, fmt.Sprintf("write %s to %s", countAll(live), m.folder.path))
		would(StepRemove, "delete "+crdNames(live)+", and so all their objects")
	}
	would(StepRegister, fmt.Sprintf("have APIServices %s lead to Service %s", inventoryServices(), m.options.Service))
	would(StepImport, "create "+countAll(found.kinds)+" where they are missing, with their status")
}

// stopped adds to the error of a step what the state is and how to go on.
func (m *Migration) stopped(step Step, err error) error {
	state := "This run has changed nothing on the hub."
	switch {
	case step == StepRemove && m.removing:
		state = "Everything is exported, and CustomResourceDefinitions are being removed."
	case step == StepRegister:
		state = "Everything is exported, the CustomResourceDefinitions are gone, and nothing serves the inventory."
	case step == StepImport:
		state = "Everything is exported, clusterpass serves the inventory, and the import is not complete."
	}
	again := "Run the same command again to resume"
	if m.folder != nil {
		again += ", with --dir=" + m.folder.path
	}
	return fmt.Errorf("stopped at the step %s: %w\n%s %s", step, err, state, again+".")
}

// errNotConfirmed is that of a run that nobody has told to remove anything.
var errNotConfirmed = errors.New("not confirmed: answer yes, or use --yes")
