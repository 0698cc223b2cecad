package org.junit

/**
 * Stands for JUnit 4's annotation, which `kotlin.test.Test` is an alias of: the tests are the
 * ones that Gradle runs with JUnit, and `RunTests` runs here without it.
 */
@Retention(AnnotationRetention.RUNTIME)
@Target(AnnotationTarget.FUNCTION)
annotation class Test
