package checks

import org.junit.AssumptionViolatedException
import org.junit.Test
import java.io.File
import java.lang.reflect.InvocationTargetException
import java.util.jar.JarFile
import kotlin.system.exitProcess

/**
 * Runs the tests of a jar: each function with `@Test` on an instance of its own, like JUnit 4.
 *
 * Where there is Gradle, JUnit does this. Here there is only what comes with the compiler.
 */
fun main(arguments: Array<String>) {
    var passed = 0
    var failed = 0
    var skipped = 0
    for (name in testClasses(File(arguments.single()))) {
        val type = Class.forName(name)
        for (test in type.methods.filter { it.isAnnotationPresent(Test::class.java) }.sortedBy { it.name }) {
            try {
                test.invoke(type.getDeclaredConstructor().newInstance())
                passed++
            } catch (error: InvocationTargetException) {
                val cause = error.targetException
                if (cause is AssumptionViolatedException) {
                    skipped++
                    println("SKIPPED ${type.simpleName}.${test.name}: ${cause.message}")
                } else {
                    failed++
                    println("FAILED ${type.simpleName}.${test.name}")
                    cause.printStackTrace(System.out)
                }
            }
        }
    }
    println("$passed passed, $failed failed, $skipped skipped")
    if (failed > 0 || passed == 0) exitProcess(1)
}

private fun testClasses(jar: File): List<String> =
    JarFile(jar).use { file ->
        file.entries().toList().map { it.name }.filter { it.endsWith("Test.class") && '$' !in it }
            .map { it.removeSuffix(".class").replace('/', '.') }
            .filter { it.startsWith("ecct.") }
            .sorted()
    }
