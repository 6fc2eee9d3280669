<?php
// Answers everything, whatever the path.
require dirname(__DIR__) . '/vendor/autoload.php';

header('Content-Type: text/plain');
echo (new App\Page())->text();
