module example.com/go-workspace/greeting

go 1.24
