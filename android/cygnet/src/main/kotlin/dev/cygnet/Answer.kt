package dev.cygnet

/** What a model answers, as its bundle's pipeline makes it of the outputs. */
public sealed interface Answer {
    /** Classes with scores, best first. */
    public data class Classes(val classes: List<ClassScore>) : Answer

    /** A line of text; [confidence] is the mean score of its characters, 0 to 1, and 0 when there are none. */
    public data class Text(val text: String, val confidence: Float) : Answer

    /** Boxes around things or text, best first. */
    public data class Boxes(val boxes: List<Detection>) : Answer

    /**
     * The class of every pixel in the model's size of [width] columns and [height] rows. [classes] has them row by row, as
     * positions in [CygnetModel.labels].
     */
    public class Mask(public val width: Int, public val height: Int, public val classes: ShortArray) : Answer {
        /** The class of the pixel in column [x] and row [y]. */
        public operator fun get(x: Int, y: Int): Int {
            require(x in 0 until width && y in 0 until height) { "pixel ($x, $y) is outside of $width x $height" }
            return classes[y * width + x].toInt() and 0xffff
        }

        override fun equals(other: Any?): Boolean =
            other is Mask && width == other.width && height == other.height && classes.contentEquals(other.classes)

        override fun hashCode(): Int = classes.contentHashCode()

        override fun toString(): String = "Mask($width x $height)"
    }

    /** A vector for comparisons. */
    public class Embedding(public val values: FloatArray) : Answer {
        override fun equals(other: Any?): Boolean = other is Embedding && values.contentEquals(other.values)

        override fun hashCode(): Int = values.contentHashCode()

        override fun toString(): String = "Embedding(${values.size})"
    }
}

/** A class: its position in the output, its [label] (the position in digits where the bundle has no labels), its score. */
public data class ClassScore(val index: Int, val label: String, val score: Float)

/** A box in a picture, its edges in pixels of the picture as it stands upright. */
public data class Detection(
    val index: Int,
    val label: String,
    val score: Float,
    val left: Float,
    val top: Float,
    val right: Float,
    val bottom: Float,
)

/** The time of one step of a run, in nanoseconds. [name] is the model's node and may be empty. */
public data class StepTime(val name: String, val operator: String, val nanos: Long)
