// Pure JVM: no Android import, no dependency. `make test-android` compiles it without Gradle.
plugins {
    `java-library`
    alias(libs.plugins.kotlin.jvm)
}

kotlin {
    explicitApi()
    compilerOptions {
        allWarningsAsErrors.set(true)
        jvmTarget.set(org.jetbrains.kotlin.gradle.dsl.JvmTarget.JVM_1_8)
        // Android has Java 8's library: a newer call, such as ByteBuffer.rewind, fails there.
        freeCompilerArgs.add("-Xjdk-release=1.8")
    }
}

// The codec of the example package, whose bytes the tests compare with those of Python.
kotlin.sourceSets.named("test") { kotlin.srcDir("../../../examples/own_codecs/kotlin") }

java {
    sourceCompatibility = JavaVersion.VERSION_1_8
    targetCompatibility = JavaVersion.VERSION_1_8
}

dependencies {
    testImplementation(libs.kotlin.test)
    testImplementation(libs.junit)
}
