module example.com/go-workspace/web

go 1.24

require example.com/go-workspace/greeting v0.0.0

require github.com/gorilla/mux v1.8.1

replace example.com/go-workspace/greeting => ../greeting
