<?php
// Answers with its own name.
require __DIR__ . '/greeting.php';

header('Content-Type: text/plain');
echo greeting('php-plain');
