/* The bending of a tapered cantilever beam under its own weight and a load at its end.

   Reads a deck such as examples/beam.in, and prints mass (kg), stress (Pa) and deflection (m).

   cc -O2 -o beam examples/beam.c -lm && ./beam deck.in */

#include <stdio.h>
#include <stdlib.h>

#define STEPS 20000
#define LENGTH 1.0     /* m */
#define LOAD 1000.0    /* N */
#define DENSITY 7850.0 /* kg/m^3 */
#define MODULUS 2.1e11 /* Pa */
#define GRAVITY 9.81

int main(int count, char **words) {
    double width, root, tip;
    FILE *deck = count == 2 ? fopen(words[1], "r") : NULL;
    if (deck == NULL || fscanf(deck, " width = %lf root = %lf tip = %lf", &width, &root, &tip) != 3) {
        fprintf(stderr, "usage: beam DECK, with width, root and tip\n");
        return 2;
    }
    if (width <= 0 || root <= 0 || tip <= 0) {
        fprintf(stderr, "a beam must have positive sizes\n");
        return 3;
    }

    double mass = 0, stress = 0, slope = 0, deflection = 0;
    double step = LENGTH / STEPS;
    for (int i = 0; i < STEPS; i++) {
        double x = (i + 0.5) * step, left = LENGTH - x;
        double height = root + (tip - root) * x / LENGTH;
        double weight = DENSITY * width * GRAVITY * left * (height + tip) / 2;
        double moment = LOAD * left + weight * left / 2;
        double bending = 6 * moment / (width * height * height);
        slope += 12 * moment / (MODULUS * width * height * height * height) * step;
        deflection += slope * step;
        mass += DENSITY * width * height * step;
        stress = bending > stress ? bending : stress;
    }
    printf("mass = %.17g\nstress = %.17g\ndeflection = %.17g\n", mass, stress, deflection);
    printf("stress_margin = %.17g\nbend_margin = %.17g\n", stress / 2e8 - 1, deflection / 5e-3 - 1);
    return 0;
}
