package pipeline

import (
	"context"
	"fmt"
	"path"

	"ctrx/storage"
)

// CloudState is the comparison of the cache with a remote.
type CloudState struct {
	Remote  string
	Objects []ObjectState
}

// ObjectState is data that is not in both places.
type ObjectState struct {
	Name  string // rel path as the user sees it
	State string // "new", "deleted" (on the remote only) or "missing" (in neither)
}

// CloudStatus compares the cache with remotes. It writes nothing. A folder
// whose list of files is only on the remote is looked at through that list,
// and only its files are named, as DVC does.
func (p *Project) CloudStatus(ctx context.Context, o TransferOptions) (CloudState, error) {
	var st CloudState
	all, err := p.shipments(ctx, o)
	if err != nil {
		return st, err
	}
	for _, s := range all.shipments {
		opts, err := p.storageOptions(ctx, s, o)
		if err != nil {
			return st, err
		}
		objects, err := storage.Status(ctx, opts)
		if err != nil {
			return st, fmt.Errorf("remote '%s': %w", s.remote, err)
		}
		for _, ob := range objects {
			word := ob.Word()
			if word == "" || word == "deleted" && ob.Digest.IsDir() {
				continue
			}
			for _, rel := range s.names[ob.Root] {
				st.Objects = append(st.Objects, ObjectState{Name: p.Show(path.Join(rel, ob.RelPath)), State: word})
			}
		}
	}
	st.Remote, err = p.remoteName(o.Remote, "")
	if err != nil && len(all.shipments) > 0 { // each output has a remote of its own
		st.Remote, err = all.shipments[0].remote, nil
	}
	return st, err
}
