// Copyright The clusterpass Authors.
// SPDX-License-Identifier: Apache-2.0

package credential

import (
	"debug/elf"
	"os"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"

	"clusterpass.dev/test/testenv"
)

// maxPluginSize bounds the plugin in bytes: it is copied into the images and volumes of others.
// Symbols are a third of that, which releases are built without.
const maxPluginSize = 18 << 20

// The plugin is small and static.
func TestPlugin_Binary(t *testing.T) {
	size := testenv.Must[os.FileInfo](t)(os.Stat(shared.plugin)).Size()
	assert.LessOrEqual(t, size, int64(maxPluginSize), "has it learnt to need another package?")
	if runtime.GOOS != "linux" {
		t.Skip("its format is another here")
	}
	file := testenv.Must[*elf.File](t)(elf.Open(shared.plugin))
	defer file.Close()
	for _, program := range file.Progs {
		assert.NotEqual(t, elf.PT_INTERP, program.Type, "it needs a dynamic linker")
	}
}
