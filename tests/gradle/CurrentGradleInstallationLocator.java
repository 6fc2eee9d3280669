package org.gradle.internal.installation;

import java.io.File;

/** Debian's names the folder of its own package; the wrapper unpacks Gradle elsewhere. */
abstract class CurrentGradleInstallationLocator {
    public static CurrentGradleInstallation locate() {
        try {
            Class<?> own = CurrentGradleInstallationLocator.class;
            File jar = new File(own.getProtectionDomain().getCodeSource().getLocation().toURI());
            return new CurrentGradleInstallation(new GradleInstallation(jar.getParentFile().getParentFile()));
        } catch (Exception error) {
            throw new IllegalStateException(error);
        }
    }
}
