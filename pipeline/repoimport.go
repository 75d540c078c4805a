package pipeline

// isRepoImport tells whether the stage is an import from another repository.
func (s *Stage) isRepoImport() bool {
	if !s.IsData() || len(s.Deps) != 1 {
		return false
	}
	_, is := s.Data.Deps[0].Extra.Get("repo")
	return is
}

// isImport tells whether the stage is an import: one source, one output and no
// command.
func (s *Stage) isImport() bool {
	return s.IsData() && len(s.Deps) == 1 && len(s.Outs) == 1
}
