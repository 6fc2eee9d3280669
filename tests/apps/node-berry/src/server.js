const express = require("express");

const app = express();
app.get("/", (_request, response) => response.type("text").send("Hello from node-berry\n"));
app.listen(process.env.PORT || 3000);
