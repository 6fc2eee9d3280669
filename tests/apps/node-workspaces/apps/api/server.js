const express = require("express");
const { greeting } = require("greeting");

const app = express();
app.get("/", (_request, response) => response.type("text").send(greeting("node-workspaces")));
app.listen(process.env.PORT || 3000);
