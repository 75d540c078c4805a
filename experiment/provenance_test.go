package experiment

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"ctrx/pipeline"
	"ctrx/tracking"
)

func TestScrub(t *testing.T) {
	for in, want := range map[string]string{
		"data.csv is modified":                                  "data.csv is modified",
		"https://me:pw@host/a is modified":                      "https://host/a is modified",
		"s3://bucket/a?X-Signature=geheim is new":               "s3://bucket/a is new",
		"https://tok@host/a#frag and ssh://u@h/b":               "https://host/a and ssh://h/b",
		"params.yaml:mail is modified ('a@b' -> 'c@d')":         "params.yaml:mail is modified ('a@b' -> 'c@d')",
		"https://host/a@b is modified, in the path it may stay": "https://host/a@b is modified, in the path it may stay",
	} {
		if got := scrub(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

func TestCredential(t *testing.T) {
	for text, want := range map[string]bool{
		"['remote \"s\"']\n    url = s3://bucket/x\n":              false,
		"    secret_access_key = abc\n":                            true,
		"    access_key_id = abc\n":                                true,
		"    password = x\n":                                       true,
		"    url = https://me:pw@host/x\n":                         true,
		"tracking:\n  uri: https://me:pw@host\n":                   true,
		"    sas_token = x\n":                                      true,
		"    connection_string = AccountName=a\n":                  true,
		"[core]\n    remote = store\n    autostage = true\n":       false,
		"tracking:\n  experiment: tokens\n  on_error: spool\n":     false,
		"    url = s3://bucket/x\n    endpointurl = http://h:9000": false,
	} {
		if got := credential.MatchString(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestDatasetSource(t *testing.T) {
	for _, c := range []struct {
		in        pipeline.Recorded
		kind, uri string
	}{
		{pipeline.Recorded{Rel: "data.csv", Kept: pipeline.KeptByDVC, Location: "s3://b/files/md5/aa/bb"}, "s3", "s3://b/files/md5/aa/bb"},
		{pipeline.Recorded{Rel: "data.csv", Kept: pipeline.KeptByDVC, Location: "/store/files/md5/aa/bb"}, "local", "/store/files/md5/aa/bb"},
		{pipeline.Recorded{Rel: "train.py", Kept: pipeline.KeptByGit}, "local", "train.py"},
		{pipeline.Recorded{Rel: "https://h/x", Kept: pipeline.KeptByURL, Location: "https://h/x"}, "http", "https://h/x"},
		{pipeline.Recorded{Rel: "x", Kept: pipeline.KeptByDVC, Location: "oss://b/x"}, "local", "oss://b/x"},
	} {
		kind, text := datasetSource(c.in, "https://host/repo.git", "1234")
		var got map[string]string
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			t.Fatal(err)
		}
		if kind != c.kind || got["uri"] != c.uri || got["path"] != c.in.Rel || (got["git_commit"] == "1234") == (c.in.Kept == pipeline.KeptByURL) {
			t.Errorf("%s: %s %s", c.in.Rel, kind, text)
		}
	}
}

func TestRecordTags(t *testing.T) {
	var r runRecord
	for range tagLimit + 5 {
		r.Stages = append(r.Stages, recordStage{Stage: "s", Action: "run", Reason: "forced", Seconds: 1.5})
		r.Outputs = append(r.Outputs, recordOutput{Path: "o", MD5: "1", URL: "s3://b/o"})
	}
	r.Stages[0].Error = "it broke"
	r.Stages[1].Action, r.Stages[2].Action = "skip", "restore"
	tags := r.tags()
	if len(tags) != 3*tagLimit+2 {
		t.Errorf("%d tags", len(tags))
	}
	want := []string{"failed after 1.5s: it broke", "skipped: forced", "restored from the cache: forced", "ran in 1.5s: forced"}
	for i, text := range want {
		if tags[i].Value != text {
			t.Errorf("stage %d: %q, want %q", i, tags[i].Value, text)
		}
	}
	if last := tags[len(tags)-1]; last.Key != "ctrx.outputs" || !strings.Contains(last.Value, "5 more are in ctrx/run.json") {
		t.Errorf("the last tag is %+v", last)
	}
}

func TestCompareRuns(t *testing.T) {
	start := time.UnixMilli(1000)
	a := tracking.RunRecord{ID: "a", Status: tracking.Finished, StartTime: start, EndTime: start.Add(time.Second),
		Params: []tracking.Param{{Key: "lr", Value: "1"}, {Key: "same", Value: "x"}}, Metrics: []tracking.Metric{{Key: "acc", Value: 0.5}},
		Tags: []tracking.Tag{{Key: outputTag + "model", Value: "d1"}, {Key: baseTag, Value: "c1"}}, Datasets: []tracking.Dataset{{Name: "in", Digest: "1"}, {Name: "model", Digest: "d1", Context: contextMade}}}
	b := a
	b.Params, b.Metrics, b.Tags = []tracking.Param{{Key: "same", Value: "x"}}, []tracking.Metric{{Key: "acc", Value: 0.75}}, []tracking.Tag{{Key: outputTag + "model", Value: "d2"}, {Key: baseTag, Value: "c1"}}
	text := func(changedOnly bool) string {
		var lines []string
		for _, r := range CompareRuns([]tracking.RunRecord{a, b}, changedOnly) {
			line := r.Section + " " + r.Key
			for _, v := range r.Values {
				if !v.There {
					v.Text = "-"
				}
				line += " " + v.Text
			}
			lines = append(lines, line)
		}
		return strings.Join(lines, "\n")
	}
	if got, want := text(true), "metrics acc 0.5 0.75\nparams lr 1 -\noutputs model d1 d2"; got != want {
		t.Errorf("changed:\n%s\nwant\n%s", got, want)
	}
	for _, line := range []string{"run status FINISHED FINISHED", "run duration 1s 1s", "code commit c1 c1", "params same x x", "data in 1 1"} {
		if !strings.Contains(text(false), line) {
			t.Errorf("%q is missing in\n%s", line, text(false))
		}
	}
}
