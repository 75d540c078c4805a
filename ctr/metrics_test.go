package ctr

import (
	"bytes"
	"math"
	"strings"
	"testing"
)

// predictions makes a list from clicks and probabilities.
func predictions(clicks string, probabilities ...float64) []Prediction {
	var list []Prediction
	for i, p := range probabilities {
		list = append(list, Prediction{clicks[i] == '1', p})
	}
	return list
}

// The expected numbers are scikit-learn's.
func TestEvaluate(t *testing.T) {
	for _, test := range []struct {
		name string
		list []Prediction
		want Metrics
	}{
		{"example of roc_auc_score", predictions("0011", .1, .4, .35, .8), Metrics{2. / 3, 0.47228795380917615, 1, .5, .75}},
		{"ties", predictions("0101", .6, .6, .2, .6), Metrics{.8, 0.5402713826800865, 2. / 3, 1, .75}},
		{"no positive prediction", predictions("01", .2, .3), Metrics{0, 0.7135581778200728, 0, 0, 1}},
		{"certain and wrong", predictions("01", 1, 0), Metrics{0, 36.04365338911715, 0, 0, 0}},
		{"at the threshold", predictions("01", .5, .5), Metrics{0, math.Ln2, 0, 0, .5}},
	} {
		t.Run(test.name, func(t *testing.T) {
			e, err := Evaluate(test.list, 0.5)
			if err != nil {
				t.Fatal(err)
			}
			got := e.Metrics
			for _, pair := range [][2]float64{
				{got.F1Score, test.want.F1Score}, {got.LogLoss, test.want.LogLoss}, {got.Precision, test.want.Precision},
				{got.Recall, test.want.Recall}, {got.ROCAUC, test.want.ROCAUC},
			} {
				if math.Abs(pair[0]-pair[1]) > 1e-12 {
					t.Fatalf("got %+v, want %+v", got, test.want)
				}
			}
		})
	}
}

func TestEvaluateErrors(t *testing.T) {
	for _, list := range [][]Prediction{nil, predictions("00", .1, .2), predictions("11", .1, .2), predictions("01", .1, math.NaN())} {
		if _, err := Evaluate(list, 0.5); err == nil {
			t.Errorf("%v is accepted", list)
		}
	}
}

func TestCurves(t *testing.T) {
	e, err := Evaluate(predictions("00110", .1, .4, .35, .8, .1), 0.5)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		write func(*bytes.Buffer) error
		want  string
	}{
		{func(b *bytes.Buffer) error { return e.WriteROC(b) }, "fpr,tpr,threshold\n0,0,1\n0,0.5,0.8\n0.3333333333333333,0.5,0.4\n0.3333333333333333,1,0.35\n1,1,0.1\n"},
		{func(b *bytes.Buffer) error { return e.WriteCalibration(b) }, "predicted,observed,rows\n0.1,0,2\n0.375,0.5,2\n0.8,1,1\n"},
		{func(b *bytes.Buffer) error { return e.WriteMetrics(b) }, "{\n  \"f1_score\": 0.6666666666666666,\n  \"log_loss\": "},
	} {
		var b bytes.Buffer
		if err := test.write(&b); err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(b.String(), test.want) {
			t.Errorf("got %s, want %s", b.String(), test.want)
		}
	}
}

func TestLongCurveIsThinned(t *testing.T) {
	var list []Prediction
	for i := range 5001 {
		list = append(list, Prediction{i%3 == 0, float64(i) / 5001})
	}
	e, err := Evaluate(list, 0.5)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := e.WriteROC(&b); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if len(lines) != 202 || lines[1] != "0,0,1" || lines[201] != "1,1,0" {
		t.Errorf("%d lines from %q to %q, want a header and 201 points from 0,0 to 1,1", len(lines), lines[1], lines[len(lines)-1])
	}
}
