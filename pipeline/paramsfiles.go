package pipeline

import (
	"bytes"
	"sync"

	"ctrx/pipeline/dvcfile"
)

// paramsFiles remembers what params files say: nearly all stages of a pipeline
// read the same one. The zero value is ready; it is safe for concurrent use.
type paramsFiles struct {
	mu    sync.Mutex
	files map[string]paramsFile // by rel path
}

type paramsFile struct {
	data    []byte
	content *dvcfile.Map
}

// parse is ReadParams. The bytes are compared, not times: a stage may write
// the file that the next one reads. Callers must not change the result.
func (f *paramsFiles) parse(rel string, data []byte) (*dvcfile.Map, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if known, ok := f.files[rel]; ok && bytes.Equal(known.data, data) {
		return known.content, nil
	}
	content, err := dvcfile.ReadParams(rel, data)
	if err != nil {
		return nil, err
	}
	if f.files == nil {
		f.files = map[string]paramsFile{}
	}
	f.files[rel] = paramsFile{data: data, content: content}
	return content, nil
}
