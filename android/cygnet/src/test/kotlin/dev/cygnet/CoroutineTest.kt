package dev.cygnet

import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.asFlow
import kotlinx.coroutines.flow.flowOf
import kotlinx.coroutines.flow.map
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeoutOrNull
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test

class CoroutineTest {
    @Test
    fun answersWithoutBlocking() = runBlocking<Unit> {
        session("colours") { session ->
            runBlocking {
                val picture = Picture.packed(PictureFormat.RGB, 1, 1, byteArrayOf(0, 0, 9))
                assertEquals("blåue", session.awaitClasses(picture).first().label)
                assertEquals(session.ask(picture), session.awaitAnswer(picture))
            }
            assertThrows(PipelineException::class.java) {
                runBlocking { session.awaitDetections(Picture.packed(PictureFormat.GRAY, 1, 1, ByteArray(1))) }
            }
        }
    }

    @Test
    fun cancellingEndsTheNativeRun() {
        session("slow") { session ->
            runBlocking {
                for (wait in longArrayOf(0, 1, 20)) {
                    val begin = System.nanoTime()
                    val job = launch { session.await { run() } }
                    delay(wait)
                    job.cancelAndJoin()
                    val millis = (System.nanoTime() - begin) / 1_000_000
                    assertTrue("cancelled after $millis ms", millis < 1_000)
                    // The session is free, and another run works as ever.
                    session.reset()
                }
                assertEquals(null, withTimeoutOrNull(30) { session.await { run() } })
            }
        }
    }

    @Test
    fun streamsOfSound() = runBlocking<Unit> {
        session("stream") { session ->
            runBlocking {
                val pieces = listOf(floatArrayOf(1f, 2f, 3f), floatArrayOf(4f), floatArrayOf(), FloatArray(7) { 5f + it })
                val answers = session.answers(pieces.asFlow().windows(4), 16_000)
                val want = listOf(listOf(1f, 2f, 3f, 4f), listOf(6f, 8f, 10f, 12f))
                // Collected again, it begins anew.
                repeat(2) { assertEquals(want, answers.map { (it as Answer.Embedding).values.toList() }.toList()) }
            }
        }
    }

    @Test
    fun windowsOverlap() = runBlocking<Unit> {
        val samples = flowOf(FloatArray(7) { it.toFloat() })
        val windows = samples.windows(4, 2).toList().map { it.toList() }
        assertEquals(listOf(listOf(0f, 1f, 2f, 3f), listOf(2f, 3f, 4f, 5f)), windows)
        assertThrows(InputException::class.java) { samples.windows(2, 3) }
    }
}
