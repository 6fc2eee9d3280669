<?php

namespace Slipway\Greeting;

final class Greeting
{
    public static function of(string $name): string
    {
        return \MessageFormatter::formatMessage('en', "Hello from {0}\n", [$name]);
    }
}
