module example.com/go-workspace/worker

go 1.24

require example.com/go-workspace/greeting v0.0.0

require github.com/google/uuid v1.6.0

replace example.com/go-workspace/greeting => ../greeting
