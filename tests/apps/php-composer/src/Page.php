<?php

namespace App;

use Slipway\Greeting\Greeting;

final class Page
{
    public function text(): string
    {
        return Greeting::of('php-composer');
    }
}
