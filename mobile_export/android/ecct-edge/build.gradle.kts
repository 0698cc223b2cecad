plugins {
    alias(libs.plugins.android.library)
    alias(libs.plugins.kotlin.android)
}

android {
    namespace = "ecct.edge.android"
    compileSdk = libs.versions.android.compile.sdk.get().toInt()

    defaultConfig {
        minSdk = libs.versions.android.min.sdk.get().toInt()
        consumerProguardFiles("consumer-rules.pro")
    }

    // The golden files that Python wrote serve the tests of both modules.
    sourceSets.getByName("test").resources.srcDir("../ecct-edge-core/src/test/resources")

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_1_8
        targetCompatibility = JavaVersion.VERSION_1_8
    }
}

kotlin {
    explicitApi()
    compilerOptions {
        allWarningsAsErrors.set(true)
        jvmTarget.set(org.jetbrains.kotlin.gradle.dsl.JvmTarget.JVM_1_8)
    }
}

dependencies {
    api(project(":ecct-edge-core"))
    implementation(libs.coroutines.android)
    // No litert-select-tf-ops: an exported file needs builtin operators only.
    implementation(libs.litert)
    api(libs.work)
    testImplementation(libs.kotlin.test)
    testImplementation(libs.junit)
}
