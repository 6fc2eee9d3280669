const fs = require("fs");
const mustache = require("mustache");

fs.writeFileSync("public/greeting.txt", mustache.render("Hello from {{name}}\n", { name: "php-node" }));
