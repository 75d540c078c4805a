package ctr

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
)

// Prediction is a held-out row with what a model said about it.
type Prediction struct {
	Clicked     bool
	Probability float64 // of a click
}

// Metrics judges a model as scikit-learn's functions of the same names do,
// with zero_division=0.
type Metrics struct {
	F1Score   float64 `json:"f1_score"`
	LogLoss   float64 `json:"log_loss"`
	Precision float64 `json:"precision"`
	Recall    float64 `json:"recall"`
	ROCAUC    float64 `json:"roc_auc_score"`
}

// Evaluation is what there is to know about a model's predictions.
type Evaluation struct {
	Metrics     Metrics
	ROC         []ROCPoint
	Calibration []CalibrationBin
}

// Predict applies a model to every row of a feature file. name is used in
// errors only.
func Predict(ctx context.Context, model Predictor, name string, r io.Reader) ([]Prediction, error) {
	var predictions []Prediction
	for example, err := range ReadFeatures(ctx, name, r, model.Features()) {
		if err != nil {
			return nil, err
		}
		predictions = append(predictions, Prediction{example.Clicked, model.Predict(example.Values)})
	}
	return predictions, nil
}

// Evaluate compares predictions with the truth. A probability above the
// threshold predicts a click. Rows of both classes are needed.
func Evaluate(predictions []Prediction, threshold float64) (*Evaluation, error) {
	var clicks, misses, truePositives, positives int
	var loss float64
	for _, p := range predictions {
		if math.IsNaN(p.Probability) {
			return nil, errors.New("the model predicts NaN")
		}
		if p.Clicked {
			clicks++
		} else {
			misses++
		}
		if p.Probability > threshold {
			positives++
			if p.Clicked {
				truePositives++
			}
		}
		loss += logLoss(p)
	}
	if clicks == 0 || misses == 0 {
		return nil, fmt.Errorf("all %d held-out rows have the same click value: metrics need rows with and without a click", len(predictions))
	}
	roc := rocCurve(predictions, clicks, misses)
	return &Evaluation{
		Metrics: Metrics{
			F1Score:   ratio(2*truePositives, positives+clicks),
			LogLoss:   loss / float64(len(predictions)),
			Precision: ratio(truePositives, positives),
			Recall:    ratio(truePositives, clicks),
			ROCAUC:    areaUnder(roc),
		},
		ROC:         roc,
		Calibration: calibration(predictions),
	}, nil
}

// ratio is 0 where there is nothing to divide by.
func ratio(a, b int) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}

// logLoss is the natural logarithm of the probability of what happened,
// negative. As in scikit-learn, a probability keeps the distance of one
// machine epsilon from 0 and 1.
func logLoss(p Prediction) float64 {
	const epsilon = 0x1p-52
	q := min(max(p.Probability, epsilon), 1-epsilon)
	if p.Clicked {
		return -math.Log(q)
	}
	return -math.Log(1 - q)
}

// ROCPoint is a point of the receiver operating characteristic: of the rows
// at or above Threshold, the share of all misses and of all clicks.
type ROCPoint struct {
	FPR       float64
	TPR       float64
	Threshold float64 // +Inf at the first point
}

// rocCurve gives every point from (0, 0) to (1, 1); rows with equal
// probabilities make one step.
func rocCurve(predictions []Prediction, clicks, misses int) []ROCPoint {
	sorted := slices.Clone(predictions)
	slices.SortFunc(sorted, func(a, b Prediction) int { return cmp.Compare(b.Probability, a.Probability) })
	curve := []ROCPoint{{0, 0, math.Inf(1)}}
	var truePositives, falsePositives int
	for i, p := range sorted {
		if p.Clicked {
			truePositives++
		} else {
			falsePositives++
		}
		if i+1 == len(sorted) || sorted[i+1].Probability != p.Probability {
			curve = append(curve, ROCPoint{ratio(falsePositives, misses), ratio(truePositives, clicks), p.Probability})
		}
	}
	return curve
}

// areaUnder is the area below the curve by trapezoids.
func areaUnder(curve []ROCPoint) float64 {
	var area float64
	for i := 1; i < len(curve); i++ {
		area += (curve[i].FPR - curve[i-1].FPR) * (curve[i].TPR + curve[i-1].TPR) / 2
	}
	return area
}

// CalibrationBin compares, for the rows whose probability falls into a tenth of
// the range, what was predicted with what happened.
type CalibrationBin struct {
	Predicted float64 // mean probability
	Observed  float64 // share of clicks
	Rows      int     // at least 1
}

// calibration puts a probability on the border between two tenths into the
// lower one, and leaves out empty tenths.
func calibration(predictions []Prediction) []CalibrationBin {
	const bins = 10
	var sums [bins]float64
	var clicks, rows [bins]int
	for _, p := range predictions {
		bin := 0
		for bin < bins-1 && p.Probability > float64(bin+1)/bins {
			bin++
		}
		sums[bin] += p.Probability
		rows[bin]++
		if p.Clicked {
			clicks[bin]++
		}
	}
	var out []CalibrationBin
	for i, n := range rows {
		if n > 0 {
			out = append(out, CalibrationBin{sums[i] / float64(n), ratio(clicks[i], n), n})
		}
	}
	return out
}

// WriteMetrics writes the metrics as JSON.
func (e *Evaluation) WriteMetrics(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(e.Metrics); err != nil {
		return fmt.Errorf("write metrics: %w", err)
	}
	return nil
}

// WriteROC writes the curve as CSV with the columns fpr, tpr and threshold,
// at most 201 points: more cannot be seen, and the file is kept in Git.
func (e *Evaluation) WriteROC(w io.Writer) error {
	const steps = 200
	if _, err := io.WriteString(w, "fpr,tpr,threshold\n"); err != nil {
		return fmt.Errorf("write ROC curve: %w", err)
	}
	last := len(e.ROC) - 1
	n := min(last, steps)
	for i := range n + 1 {
		p := e.ROC[i*last/max(n, 1)]
		threshold := number(p.Threshold)
		if math.IsInf(p.Threshold, 1) {
			threshold = "1" // plot programs cannot place an infinity
		}
		if _, err := fmt.Fprintf(w, "%s,%s,%s\n", number(p.FPR), number(p.TPR), threshold); err != nil {
			return fmt.Errorf("write ROC curve: %w", err)
		}
	}
	return nil
}

// WriteCalibration writes the bins as CSV with the columns predicted,
// observed and rows.
func (e *Evaluation) WriteCalibration(w io.Writer) error {
	if _, err := io.WriteString(w, "predicted,observed,rows\n"); err != nil {
		return fmt.Errorf("write calibration: %w", err)
	}
	for _, b := range e.Calibration {
		if _, err := fmt.Fprintf(w, "%s,%s,%d\n", number(b.Predicted), number(b.Observed), b.Rows); err != nil {
			return fmt.Errorf("write calibration: %w", err)
		}
	}
	return nil
}

func number(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }
