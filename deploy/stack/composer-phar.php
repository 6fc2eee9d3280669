<?php
// Makes one file of Debian's composer, its libraries and data, as upstream's is one.
//
// usage: php -d phar.readonly=0 composer-phar.php FILE
$name = 'composer.phar';
$phar = new Phar($argv[1], 0, $name);
$phar->startBuffering();
$add = function (string $path) use ($phar, $name) {
    $text = file_get_contents($path);
    // Debian's autoloaders name each other by absolute paths.
    $text = str_replace(["'/usr/share/", '"/usr/share/'], ["'phar://$name/usr/share/", "\"phar://$name/usr/share/"], $text);
    // Only a program's own first line may be for the shell.
    $phar[ltrim($path, '/')] = preg_replace('/^#!.*\n/', '', $text);
};
$add('/usr/bin/composer');
foreach (new RecursiveIteratorIterator(new RecursiveDirectoryIterator('/usr/share/php', FilesystemIterator::SKIP_DOTS)) as $file) {
    if ($file->isFile()) {
        $add($file->getPathname());
    }
}
$phar->setStub("#!/usr/bin/env php\n<?php Phar::mapPhar('$name'); require 'phar://$name/usr/bin/composer'; __HALT_COMPILER();\n");
$phar->compressFiles(Phar::GZ);
$phar->stopBuffering();
