package usage

import (
	"os"
	"strings"
	"testing"
	"time"
)

func TestMeasure(t *testing.T) {
	now := time.Now()
	m := NewMeter(t.Context(), t.TempDir(), 2, now.Add(-time.Second))
	got := map[string]float64{}
	for _, v := range m.Measure(t.Context(), []int{os.Getpid(), ownGroup()}, now) {
		if _, twice := got[v.Key]; twice || !strings.HasPrefix(v.Key, "system/") {
			t.Errorf("key %q", v.Key)
		}
		got[v.Key] = v.Value
	}
	for _, key := range []string{"system/system_memory_usage_megabytes", "system/system_memory_usage_percentage", "system/cpu_utilization_percentage",
		"system/disk_usage_percentage", "system/disk_available_megabytes"} {
		if v, ok := got[key]; !ok || v <= 0 {
			t.Errorf("%s is %v, %v", key, v, ok)
		}
	}
	if v, ok := got["system/network_receive_megabytes"]; ok && v < 0 {
		t.Errorf("received %v", v)
	}
	for _, v := range m.Measure(t.Context(), nil, now.Add(time.Second)) {
		if v.Key == "system/system_memory_usage_megabytes" && v.Value != 0 {
			t.Errorf("nobody uses %v MB", v.Value)
		}
	}
}

func TestParseGPUs(t *testing.T) {
	got := parseGPUs([]byte("0, 50, 1000, 4000, 75.00, 300.00\n1, 0, 0, 4000, [N/A], [N/A]\ngarbage\n"))
	want := []Value{
		{"system/gpu_0_utilization_percentage", 50}, {"system/gpu_0_memory_usage_megabytes", 1048.576}, {"system/gpu_0_memory_usage_percentage", 25},
		{"system/gpu_0_power_usage_watts", 75}, {"system/gpu_0_power_usage_percentage", 25},
		{"system/gpu_1_utilization_percentage", 0}, {"system/gpu_1_memory_usage_megabytes", 0}, {"system/gpu_1_memory_usage_percentage", 0},
	}
	if len(got) != len(want) {
		t.Fatalf("%v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%v, want %v", got[i], want[i])
		}
	}
}
