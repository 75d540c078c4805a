package wire

// RegisteredModel is a named model of the registry. Times are in milliseconds
// since 1970. Description is nil where none was ever given.
type RegisteredModel struct {
	Name           string         `json:"name"`
	CreationTime   Int            `json:"creation_timestamp"`
	LastUpdateTime Int            `json:"last_updated_timestamp"`
	Description    *string        `json:"description,omitempty"`
	LatestVersions []ModelVersion `json:"latest_versions,omitempty"`
	Tags           []Tag          `json:"tags,omitempty"`
	Aliases        []ModelAlias   `json:"aliases,omitempty"`
}

// ModelAlias names one version of a registered model.
type ModelAlias struct {
	Alias   string `json:"alias"`
	Version string `json:"version"`
}

// ModelVersion is one version of a registered model. A nil text was never set
// and is left out, an empty one is written.
type ModelVersion struct {
	Name           string   `json:"name"`
	Version        string   `json:"version"`
	CreationTime   Int      `json:"creation_timestamp"`
	LastUpdateTime Int      `json:"last_updated_timestamp"`
	UserID         *string  `json:"user_id,omitempty"`
	Stage          string   `json:"current_stage"`
	Description    *string  `json:"description,omitempty"`
	Source         *string  `json:"source,omitempty"`
	RunID          *string  `json:"run_id,omitempty"`
	Status         string   `json:"status"`
	StatusMessage  *string  `json:"status_message,omitempty"`
	Tags           []Tag    `json:"tags,omitempty"`
	RunLink        *string  `json:"run_link,omitempty"`
	Aliases        []string `json:"aliases,omitempty"`
}

// Stages of a model version; the last is that of a deleted one.
const (
	StageNone       = "None"
	StageStaging    = "Staging"
	StageProduction = "Production"
	StageArchived   = "Archived"
	StageDeleted    = "Deleted_Internal"
)

// LoggedModel is a model that an experiment holds, registered or not.
type LoggedModel struct {
	Info LoggedModelInfo `json:"info"`
	Data LoggedModelData `json:"data"`
}

// LoggedModelInfo is what a logged model is. Times are in milliseconds since
// 1970; Status is one of LOGGED_MODEL_PENDING, LOGGED_MODEL_READY and
// LOGGED_MODEL_UPLOAD_FAILED.
type LoggedModelInfo struct {
	ID             string  `json:"model_id"`
	ExperimentID   string  `json:"experiment_id"`
	Name           string  `json:"name"`
	CreationTime   Int     `json:"creation_timestamp_ms"`
	LastUpdateTime Int     `json:"last_updated_timestamp_ms"`
	ArtifactURI    string  `json:"artifact_uri"`
	Status         string  `json:"status"`
	ModelType      *string `json:"model_type,omitempty"`
	SourceRunID    *string `json:"source_run_id,omitempty"`
	StatusMessage  *string `json:"status_message,omitempty"`
	Tags           []Tag   `json:"tags,omitempty"`
}

// LoggedModelData holds the parameters and metrics of a logged model.
type LoggedModelData struct {
	Params  []Param             `json:"params,omitempty"`
	Metrics []LoggedModelMetric `json:"metrics,omitempty"`
}

// LoggedModelMetric is a metric point that belongs to a logged model.
type LoggedModelMetric struct {
	Metric
	DatasetName   *string `json:"dataset_name,omitempty"`
	DatasetDigest *string `json:"dataset_digest,omitempty"`
	ModelID       string  `json:"model_id"`
	RunID         string  `json:"run_id"`
}

// ModelInput is a logged model that a run used.
type ModelInput struct {
	ModelID string `json:"model_id"`
}

// ModelOutput is a logged model that a run made. Step is the step of training
// at which it was made.
type ModelOutput struct {
	ModelID string `json:"model_id"`
	Step    Int    `json:"step"`
}
