// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package testenv

import (
	"context"
	"fmt"
	"os/exec"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"
)

// stopGrace bounds how long a process has to end by itself once it was asked to.
const stopGrace = 15 * time.Second

// process is a program run as a child that ends with us.
type process struct {
	program Program
	cmd     *exec.Cmd
	// exited is closed once the process is gone and reaped.
	exited chan struct{}
}

// startProcess starts the program and does not wait for it to serve.
func startProcess(program Program) (*process, error) {
	cmd, log, err := program.Command()
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.SysProcAttr = childAttributes()
	if err := startOnSpawner(cmd); err != nil {
		return nil, fmt.Errorf("starting %s: %w", program.Name, err)
	}
	p := &process{program: program, cmd: cmd, exited: make(chan struct{})}
	go func() {
		defer close(p.exited)
		_ = cmd.Wait() // how it ended is in its log
	}()
	return p, nil
}

// stop asks the process to end, kills it after a bound, and returns when it is gone.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(stopGrace):
		p.kill()
	}
}

// kill ends the process without asking and returns when it is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.exited
}

// spawner starts commands from one thread that lives as long as we do: the kernel's parent-death
// signal is that of the starting thread, and Go ends threads whose goroutine was locked to them.
var spawner = sync.OnceValue(func() chan<- func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread()
		for do := range work {
			do()
		}
	}()
	return work
})

func startOnSpawner(cmd *exec.Cmd) error {
	result := make(chan error)
	spawner() <- func() { result <- cmd.Start() }
	return <-result
}

// group runs programs as children of ours, in the order in which they were added.
type group struct {
	mu        sync.Mutex
	order     []string
	processes map[string]*process
}

// start runs the program and waits until it serves.
func (g *group) start(ctx context.Context, program Program) error {
	p, err := startProcess(program)
	if err != nil {
		return err
	}
	g.add(p)
	return program.WaitReady(ctx, p.exited)
}

func (g *group) add(p *process) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.processes == nil {
		g.processes = map[string]*process{}
	}
	if _, known := g.processes[p.program.Name]; !known {
		g.order = append(g.order, p.program.Name)
	}
	g.processes[p.program.Name] = p
}

// kill ends the named process with SIGKILL.
func (g *group) kill(name string) error {
	p, err := g.get(name)
	if err != nil {
		return err
	}
	p.kill()
	return nil
}

func (g *group) get(name string) (*process, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	p, ok := g.processes[name]
	if !ok {
		return nil, fmt.Errorf("no process %s was started, only %v", name, g.order)
	}
	return p, nil
}

// restart stops the named process, if it still runs, and starts it again with its old arguments.
func (g *group) restart(ctx context.Context, name string) error {
	p, err := g.get(name)
	if err != nil {
		return err
	}
	p.stop()
	return g.start(ctx, p.program)
}

// stopAll stops what was started, the last first.
func (g *group) stopAll() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, name := range slices.Backward(g.order) {
		g.processes[name].stop()
	}
}

// single runs one program as a child of ours.
type single struct {
	// name is the program's, and log is the file for what it prints.
	name, log string
	group     group
}

// Stop ends what Start started. Data stays.
func (s *single) Stop() { s.group.stopAll() }

// Kill ends it with SIGKILL.
func (s *single) Kill() error { return s.group.kill(s.name) }

// Restart stops it, if it still runs, starts it again and waits until it is ready.
func (s *single) Restart(ctx context.Context) error { return s.group.restart(ctx, s.name) }

// Log returns the path of what it prints.
func (s *single) Log() string { return s.log }
