package org.junit

/**
 * Stands for JUnit 4's annotation, which `kotlin.test.Test` is an alias of: the tests are the
 * ones that Gradle runs with JUnit, and `RunTests` runs here without it.
 */
@Retention(AnnotationRetention.RUNTIME)
@Target(AnnotationTarget.FUNCTION)
annotation class Test

/** Stands for JUnit 4's exception of the same name. */
class AssumptionViolatedException(message: String) : RuntimeException(message)

/** Stands for JUnit 4's class of the same name. */
object Assume {
    /** Skips the test unless [b]. */
    @JvmStatic
    fun assumeTrue(message: String, b: Boolean) {
        if (!b) throw AssumptionViolatedException(message)
    }
}
