<?php
// Answers with the text that Node.js built.
header('Content-Type: text/plain');
readfile(__DIR__ . '/greeting.txt');
