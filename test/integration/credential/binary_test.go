// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"debug/elf"
	"os"
	"runtime"
	"testing"

	"clusterpass.dev/test/testenv"
)

// maxPluginSize bounds the plugin in bytes: it is copied into the images and volumes of others. Symbols are a third of that, which
// releases are built without.
const maxPluginSize = 18 << 20

// The plugin is small and static.
func TestPlugin_Binary(t *testing.T) {
	if size := testenv.Must[os.FileInfo](t)(os.Stat(shared.plugin)).Size(); size > maxPluginSize {
		t.Errorf("it has %d bytes, more than %d: has it learnt to need another package?", size, maxPluginSize)
	}
	if runtime.GOOS != "linux" {
		t.Skip("its format is another here")
	}
	file := testenv.Must[*elf.File](t)(elf.Open(shared.plugin))
	defer file.Close()
	for _, program := range file.Progs {
		if program.Type == elf.PT_INTERP {
			t.Error("it needs a dynamic linker")
		}
	}
}
