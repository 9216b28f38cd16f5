@file:JvmName("CygnetCoroutines")

package dev.cygnet

import kotlin.coroutines.CoroutineContext
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.NonCancellable
import kotlinx.coroutines.async
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.flow
import kotlinx.coroutines.withContext

/**
 * Uses the session on a thread of [context]. When the coroutine is cancelled, so is the native run, before its next step; the
 * function returns once the session is free again.
 *
 * ```kotlin
 * val classes = session.await { classify(picture) }
 * ```
 */
public suspend fun <T> Session.await(
    context: CoroutineContext = Dispatchers.Default,
    block: Session.() -> T,
): T = coroutineScope {
    // A failure is a value here: that of a cancelled run must not replace the cancellation.
    val run = async(context) { runCatching { this@await.block() } }
    try {
        run.await().getOrThrow()
    } catch (e: CancellationException) {
        withContext(NonCancellable) {
            // A run that begins just now forgets a cancellation that came before it.
            while (!run.isCompleted) {
                this@await.cancel()
                delay(1)
            }
        }
        throw e
    }
}

/** [Session.ask] on a background thread; ends with its coroutine. */
public suspend fun Session.awaitAnswer(picture: Picture): Answer = await { ask(picture) }

/** [Session.classify] on a background thread; ends with its coroutine. */
public suspend fun Session.awaitClasses(picture: Picture): List<ClassScore> = await { classify(picture) }

/** [Session.detect] on a background thread; ends with its coroutine. */
public suspend fun Session.awaitDetections(picture: Picture): List<Detection> = await { detect(picture) }

/** [Session.listen] on a background thread; ends with its coroutine. */
public suspend fun Session.awaitAnswer(samples: FloatArray, rate: Int): Answer = await { listen(samples, rate) }

/**
 * What the model answers to each piece of a stream of sound, mono samples in -1..1, [rate] a second. States begin anew when
 * the flow is collected. Cut a microphone's pieces to the model's size by [windows].
 */
public fun Session.answers(sounds: Flow<FloatArray>, rate: Int): Flow<Answer> = flow {
    reset()
    sounds.collect { emit(awaitAnswer(it, rate)) }
}

/**
 * Windows of [size] samples, a new one every [hop] samples, from pieces of any length. What remains at the end and fills no
 * window is left out.
 *
 * @throws InputException when a length is below 1 or the hop is larger than the window.
 */
@JvmOverloads
public fun Flow<FloatArray>.windows(size: Int, hop: Int = size): Flow<FloatArray> {
    if (size < 1 || hop !in 1..size) throw InputException("a window of $size samples every $hop: both are 1 or more, the second no larger")
    return flow {
        val window = FloatArray(size)
        var filled = 0
        collect { piece ->
            var from = 0
            while (from < piece.size) {
                val count = minOf(size - filled, piece.size - from)
                piece.copyInto(window, filled, from, from + count)
                from += count
                filled += count
                if (filled == size) {
                    emit(window.copyOf())
                    window.copyInto(window, 0, hop, size)
                    filled = size - hop
                }
            }
        }
    }
}
